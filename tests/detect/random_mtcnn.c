/* random_mtcnn.c - see random_mtcnn.h. */
#include "tests/detect/random_mtcnn.h"

#include "lib/model/detector.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

#define HEADER TEST_SOURCE_ROOT "/tests/detect/data/random_mtcnn.header"

/* As random_tensors() of weights_tools/tests/mtcnn_cascade.py has it. */
static int shift_of(const struct dfn_tensor_spec *spec)
{
    const struct dfn_detector_shape *s =
        dfn_detector_shape((enum dfn_detector_layer)spec->block);
    if ((int)spec->role == DFN_BIAS)
        return 4;
    if ((int)spec->role == DFN_SLOPE)
        return 3;
    const int fan_in = s->cin * (s->kernel ? s->kernel * s->kernel : 1);
    int shift = 0;
    while (1 << (2 * shift) < fan_in)
        shift++;
    if (s->slope)
        return shift;
    return strstr(spec->name, "face") ? shift - 2 : shift + 2;
}

static float value_of(uint64_t *state, int shift)
{
    const float u = (float)(test_random(state) >> 40) / 4194304.0f - 2.0f;
    return u / (float)(1 << shift);
}

uint8_t *random_mtcnn(size_t *size)
{
    struct dfn_tensor_spec specs[64];
    size_t header, at;
    uint8_t *bytes = test_read_file(HEADER, &header);
    const int n = dfn_detector_tensors(NULL);
    ck_assert_int_le(n, 64);
    dfn_detector_tensors(specs);
    *size = header;
    for (int i = 0; i < n; i++)
        *size += (size_t)specs[i].count * 4;
    bytes = realloc(bytes, *size);
    ck_assert_ptr_nonnull(bytes);
    at = header;
    for (int i = 0; i < n; i++) {
        uint64_t state = 1000 + (uint64_t)i;
        for (uint64_t j = 0; j < specs[i].count; j++, at += 4) {
            const float v = value_of(&state, shift_of(&specs[i]));
            uint32_t bits;
            memcpy(&bits, &v, sizeof bits);
            for (int b = 0; b < 4; b++)
                bytes[at + (size_t)b] = (uint8_t)(bits >> 8 * b & 0xff);
        }
    }
    return bytes;
}

void random_picture(uint8_t *pixels)
{
    uint8_t squares[RANDOM_ROWS / 8][RANDOM_COLUMNS / 8][3];
    uint64_t state = 7;
    for (int y = 0; y < RANDOM_ROWS / 8; y++)
        for (int x = 0; x < RANDOM_COLUMNS / 8; x++)
            for (int c = 0; c < 3; c++)
                squares[y][x][c] = (uint8_t)(test_random(&state) >> 56);
    for (int y = 0; y < RANDOM_ROWS; y++)
        for (int x = 0; x < RANDOM_COLUMNS; x++, pixels += 3)
            memcpy(pixels, squares[y / 8][x / 8], 3);
}
