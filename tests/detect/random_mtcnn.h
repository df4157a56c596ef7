/* random_mtcnn.h - a face detector of pseudo-random weights and a picture for it, so that
 * the suites need neither the real weights (2 MB, not committed) nor faces. The Python
 * half is weights_tools/tests/mtcnn_cascade.py. */
#ifndef DFN_TESTS_RANDOM_MTCNN_H
#define DFN_TESTS_RANDOM_MTCNN_H

#include <stddef.h>
#include <stdint.h>

#define RANDOM_ROWS 88
#define RANDOM_COLUMNS 104

/* The model file, from malloc. */
uint8_t *random_mtcnn(size_t *size);

/* Squares of 8 x 8 pixels: [RANDOM_ROWS][RANDOM_COLUMNS][3]. */
void random_picture(uint8_t *pixels);

#endif
