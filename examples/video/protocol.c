/* protocol.c - see protocol.h. tests/fuzz/fuzz_video_protocol.c feeds it. */
#include "examples/video/protocol.h"

#include <math.h>
#include <string.h>

void video_parser_begin(struct video_parser *p, uint64_t max_pixels, uint64_t max_frames)
{
    memset(p, 0, sizeof *p);
    p->max_pixels = max_pixels;
    p->max_frames = max_frames;
}

static const char *check_size(const struct video_parser *p, const struct video_message *m)
{
    if (!m->width || !m->height || m->width > VIDEO_MOST_SIDE ||
        m->height > VIDEO_MOST_SIDE)
        return "its frames have an impossible size";
    if ((uint64_t)m->width * m->height > p->max_pixels)
        return "its frames have more pixels than allowed";
    return NULL;
}

static const char *check_start(const struct video_parser *p,
                               const struct video_message *m)
{
    if (p->started)
        return "it began twice";
    if (m->size || m->total > VIDEO_MOST_FRAMES)
        return "its beginning is wrong";
    if (!(m->seconds >= 0 && m->seconds <= 1e9))
        return "its length is no number of seconds";
    return check_size(p, m);
}

static const char *check_frame(const struct video_parser *p,
                               const struct video_message *m)
{
    if (!p->started)
        return "a frame came before its beginning";
    if (p->frames >= p->max_frames)
        return "it sent more frames than it was asked for";
    if (!isfinite(m->seconds) || m->seconds < -1e9 || m->seconds > 1e9)
        return "a frame's time is no number of seconds";
    if (p->frames && (m->seconds < p->last_seconds || m->index <= p->last_index))
        return "its frames are out of order";
    const char *wrong = check_size(p, m);
    if (!wrong && m->size != (uint64_t)m->width * m->height * 3)
        wrong = "a frame's size is wrong";
    return wrong;
}

const char *video_parser_check(struct video_parser *p, const struct video_message *m)
{
    const char *wrong = NULL;
    if (m->magic != VIDEO_MAGIC)
        return "it spoke another language";
    if (p->ended)
        return "it went on behind its end";
    switch (m->kind) {
    case VIDEO_START:
        wrong = check_start(p, m);
        p->started = 1;
        return wrong;
    case VIDEO_FRAME:
        wrong = check_frame(p, m);
        p->frames++;
        p->last_index = m->index;
        p->last_seconds = m->seconds;
        return wrong;
    case VIDEO_END:
    case VIDEO_FAILED:
        p->ended = 1;
        if (m->size > VIDEO_SENTENCE)
            return "its last words are too long";
        return m->kind == VIDEO_END && !p->started ? "it ended before its beginning"
                                                   : NULL;
    default:
        return "it sent something unknown";
    }
}
