#include "head.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

/* Reads the process's name and parent. Returns false if there is none of that number. */
static bool look_up(pid_t pid, char name[32], pid_t *parent) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file) return false;
    char *end = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL, *begin = strchr(line, '(');
    fclose(file);
    if (!end || !begin || end < begin) return false;
    snprintf(name, 32, "%.*s", (int)(end - begin - 1), begin + 1);
    int number;
    if (sscanf(end + 1, " %*c %d", &number) != 1) return false;
    *parent = number;
    return true;
}

/* Returns a process whose parent's parent is `ancestor`, and whose name ends so; 0: there is none. */
static pid_t find(pid_t ancestor, const char *suffix) {
    DIR *directory = opendir("/proc");
    pid_t found = 0;
    for (struct dirent *entry; directory && !found && (entry = readdir(directory)) != NULL;) {
        char name[32], other[32];
        pid_t pid = atoi(entry->d_name), parent, parents;
        if (pid <= 0 || !look_up(pid, name, &parent) || !look_up(parent, other, &parents)) continue;
        size_t size = strlen(name), wanted = strlen(suffix);
        if (parents == ancestor && size >= wanted && strcmp(name + size - wanted, suffix) == 0) found = pid;
    }
    if (directory) closedir(directory);
    return found;
}

pid_t head_carrier(void) {
    return find(getpid(), "/hosts");
}

pid_t head_launcher(void) {
    char name[32];
    pid_t carrier = head_carrier(), supervisor;
    if (!carrier || !look_up(carrier, name, &supervisor)) return 0;
    pid_t launcher = 0;
    DIR *directory = opendir("/proc");
    for (struct dirent *entry; directory && !launcher && (entry = readdir(directory)) != NULL;) {
        pid_t pid = atoi(entry->d_name), parent;
        if (pid > 0 && look_up(pid, name, &parent) && parent == carrier) launcher = pid;
    }
    if (directory) closedir(directory);
    return launcher;
}

double head_seconds(void) {
    char path[64];
    struct timespec own;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
    double seconds = (double)own.tv_sec + (double)own.tv_nsec * 1e-9;
    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)head_carrier());
    FILE *file = fopen(path, "r");
    unsigned long long ns;
    if (file && fscanf(file, "%llu", &ns) == 1) seconds += (double)ns * 1e-9;
    if (file) fclose(file);
    return seconds;
}
