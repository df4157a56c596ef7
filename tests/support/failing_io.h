/* failing_io.h - makes open, read, pread, fstat and lseek of a test program fail on
 * request. Link failing_io.c with failing_io_args (tests/meson.build): the linker then
 * leads the library's calls here. */
#ifndef DFN_TESTS_FAILING_IO_H
#define DFN_TESTS_FAILING_IO_H

#include <stdbool.h>
#include <stddef.h>

struct failing_io {
    long calls;   /* of any kind, since failing_io_reset()                           */
    long fail_at; /* this one fails with error; 0: none                              */
    int error;    /* EINTR: it is done again and then succeeds                       */
    size_t most;  /* a read returns no more bytes than this; 0: no bound             */
    bool interrupted; /* every second call fails with EINTR (those that may) */
    long end_at;    /* this read and later ones return 0, as at the end of a file      */
    long longer_at; /* this read returns one byte though the file has ended            */
};

extern struct failing_io failing_io;

void failing_io_reset(void);

#endif
