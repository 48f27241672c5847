/* Text of untrusted origin, made fit for one line of a log or a terminal.
 *
 * Called by: what takes a text out of shared memory, out of a file, or from another host. */
#ifndef PP_TEXT_H
#define PP_TEXT_H

#include <stddef.h>

/* Copies a text of at most `room` bytes, perhaps without an end, to as much room. Valid UTF-8 stays. What would begin a
 * line, control a terminal or turn the direction of writing becomes visible, \n, \t or \x1b, as do bytes that are not
 * UTF-8. What does not fit then is cut. */
void pp_text_readable(char *to, const char *from, size_t room);

#endif
