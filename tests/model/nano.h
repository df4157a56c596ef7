/* nano.h - writes the smallest model that has every kind of tensor, in C and without the
 * library, so that tests can spoil one thing at a time. Used by tests/model and
 * tests/fuzz.
 *
 * A nano is text and bytes until it is assembled: edit the header's text, the data, or
 * the assembled file; nano_repair() then makes the hash right again, so that it is the
 * edit and not the hash that the loader refuses. */
#ifndef DFN_TESTS_NANO_H
#define DFN_TESTS_NANO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NANO_TENSORS 30
#define NANO_OUTPUTS 2

struct nano {
    char *header;  /* JSON text without padding, NUL-terminated, from malloc       */
    uint8_t *data; /* [data_size], from malloc                                     */
    size_t data_size;
    uint8_t *file; /* [size], from malloc: what nano_assemble() made               */
    size_t size;
};

/* A correct one, assembled. classifier.weight is F16 and last, all else F32 in canonical
 * order. */
void nano_init(struct nano *nano);
void nano_free(struct nano *nano);

/* Replaces the first `find` in the header's text; false if it is not there. */
bool nano_replace(struct nano *nano, const char *find, const char *replacement);

/* Puts length, header, padding and data together; hash as the header's text says. */
void nano_assemble(struct nano *nano);

/* Writes the right digits behind "dfnet.xxh3":" of a file; false if there is no such
 * place within its header. */
bool nano_repair(uint8_t *file, size_t size);

/* Value of element i of tensor t (numbers in the file's order), exact in F16. */
float nano_value(int t, int i);

/* Name and number of elements of tensor t of the file. */
const char *nano_name(int t);
int nano_count(int t);

#endif
