/* reference.c - the reference input of weights_tools/FORMAT.md, section 6. Called by
 * ef_model_verify(). */
#include "lib/model/model.h"

/* SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
 * OOPSLA 2014. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void dfn_reference_input(uint64_t seed, int frames, int height, int width, float *out)
{
    const size_t pixels = (size_t)height * (size_t)width;
    for (int f = 0; f < frames; f++, out += 3 * pixels)
        for (size_t c = 0; c < 3; c++)
            for (size_t i = 0; i < pixels; i++)
                out[i * 3 + c] = (float)(next(&seed) >> 40) / 4194304.0f - 2.0f;
}
