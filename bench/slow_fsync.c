/* Makes every fsync and fdatasync take four milliseconds longer, as on a slower disk.
 *
 *   cc -shared -fPIC -O2 -o slow_fsync.so slow_fsync.c -ldl
 *   LD_PRELOAD=./slow_fsync.so program
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static void wait_four_milliseconds(void)
{
    struct timespec rest = {0, 4 * 1000 * 1000};
    while (nanosleep(&rest, &rest) != 0) {
    }
}

int fsync(int descriptor)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_four_milliseconds();
    return real(descriptor);
}

int fdatasync(int descriptor)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_four_milliseconds();
    return real(descriptor);
}
