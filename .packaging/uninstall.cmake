# Removes the files that the last installation from this build directory has listed.
if(NOT EXISTS ${MANIFEST})
    message(FATAL_ERROR "Nothing was installed from this directory: there is no ${MANIFEST}")
endif()
file(STRINGS ${MANIFEST} files)
foreach(file ${files})
    message(STATUS "Removing $ENV{DESTDIR}${file}")
    file(REMOVE $ENV{DESTDIR}${file})
endforeach()
