/* A disk, a clock and a process that fail on demand.
 *
 *   cc -shared -fPIC -O2 -o failing_disk.so failing_disk.c -ldl
 *   LD_PRELOAD=./failing_disk.so FAULTS=control FAULTY=data/rowboat.db program
 *
 * The file that FAULTS names says what fails; without it, nothing does. Each of its lines is one of
 *
 *   write NUMBER END   writing fails with this errno
 *   fsync NUMBER END   flushing fails with this errno
 *   clock SECONDS -    the time of day is off by so much
 *   kill NUMBER END    the program is killed instead of its NUMBERth write
 *   rename NUMBER -    the program is killed instead of its NUMBERth rename
 *
 * Those with END concern files whose path begins with FAULTY and ends in END; * is any end. The first time that a write
 * or a flush fails, the file FAULTS.made appears.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* What the control file says of a fault, and in `end` of which files; 0 when it says nothing. */
static long asked_for(const char *fault, char end[64])
{
    char text[512] = "", kind[16];
    long number;
    int before = errno;
    char *rest;
    const char *path = getenv("FAULTS");
    int control = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
    if (control >= 0) {
        if (syscall(SYS_read, control, text, sizeof text - 1) < 0)
            text[0] = 0;
        syscall(SYS_close, control);
    }
    errno = before;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (sscanf(line, "%15s %ld %63s", kind, &number, end) == 3 && strcmp(kind, fault) == 0)
            return number;
    return 0;
}

/* Tell that something was made to fail. */
static void note(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.made", getenv("FAULTS"));
    int made = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (made >= 0)
        syscall(SYS_close, made);
}

/* The number that the control file gives for a fault of an open file; 0 when it does not concern that file. */
static long concerns(const char *fault, int descriptor)
{
    char end[64], link[64], path[4096];
    const char *faulty = getenv("FAULTY");
    long number = asked_for(fault, end);
    if (!number || !faulty)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    size_t tail = strlen(end);
    int is_such = strcmp(end, "*") == 0 || ((size_t)length >= tail && strcmp(path + length - tail, end) == 0);
    return strncmp(path, faulty, strlen(faulty)) == 0 && is_such ? number : 0;
}

/* Whether this fails for an open file; errno says how. */
static int fails(const char *fault, int descriptor)
{
    long number = concerns(fault, descriptor);
    if (!number)
        return 0;
    note();
    errno = (int)number;
    return 1;
}

/* Whether a write fails, unless the program does not live to see it. */
static int write_fails(int descriptor)
{
    static long writes;
    long last = concerns("kill", descriptor);
    if (last && ++writes == last)
        kill(getpid(), SIGKILL);
    return fails("write", descriptor);
}

ssize_t write(int descriptor, const void *data, size_t size)
{
    return write_fails(descriptor) ? -1 : REAL(write)(descriptor, data, size);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset)
{
    return write_fails(descriptor) ? -1 : REAL(pwrite)(descriptor, data, size, offset);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset)
{
    return write_fails(descriptor) ? -1 : REAL(pwrite64)(descriptor, data, size, offset);
}

int fsync(int descriptor)
{
    return fails("fsync", descriptor) ? -1 : REAL(fsync)(descriptor);
}

int fdatasync(int descriptor)
{
    return fails("fsync", descriptor) ? -1 : REAL(fdatasync)(descriptor);
}

int rename(const char *from, const char *to)
{
    static long renames;
    char end[64];
    if (++renames == asked_for("rename", end))
        kill(getpid(), SIGKILL);
    return REAL(rename)(from, to);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    char end[64];
    int result = REAL(clock_gettime)(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += asked_for("clock", end);
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    char end[64];
    int result = REAL(gettimeofday)(now, zone);
    if (result == 0)
        now->tv_sec += asked_for("clock", end);
    return result;
}

time_t time(time_t *where)
{
    char end[64];
    time_t now = REAL(time)(NULL) + asked_for("clock", end);
    if (where)
        *where = now;
    return now;
}
