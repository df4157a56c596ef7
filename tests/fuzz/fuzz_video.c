/* fuzz_video.c - the parent's checks of what the decoding child says (protocol.h), what
 * the library makes of the frames that pass (ef_video_*, the tracks behind it), the words
 * that choose frames, and the marks by which files are told apart. Input: messages, one
 * behind the other; the same bytes as words, and as faces of frames.
 *
 * What passes must be harmless: sizes that belong to a frame within the limits, frames in
 * order, nothing behind the end. What the library gives must be what dfnet.h says. */
#include "examples/video/choose.h"
#include "examples/video/kind.h"
#include "examples/video/protocol.h"
#include "lib/video/track.h"
#include "tests/model/nano.h"

#include <stdlib.h>
#include <string.h>

#define MOST_PIXELS 10000
#define MOST_FRAMES 50
#define MOST_SCORED 8 /* of them, or an input takes too long */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int fine)
{
    if (!fine)
        abort();
}

/* ---- frames ------------------------------------------------------------------------ */

/* Takes whole frames as faces; made once. */
static ef_video *video(void)
{
    static ef_video *v;
    static ef_model *model;
    struct nano nano;
    ef_video_options what;
    ef_options opt;
    if (v)
        return v;
    nano_init(&nano);
    ef_options_init(&opt, sizeof opt);
    opt.threads = 1;
    check(!ef_model_load_memory(nano.file, nano.size, &opt, &model, NULL));
    nano_free(&nano);
    const ef_model *models[] = {model};
    ef_video_options_init(&what, sizeof what);
    what.models = models;
    what.model_count = 1;
    check(!ef_video_create(&what, &opt, &v, NULL));
    return v;
}

static void add_frame(const struct video_message *m)
{
    static uint8_t pixels[3 * MOST_PIXELS];
    for (size_t i = 0; i < sizeof pixels && !pixels[0]; i++)
        pixels[i] = (uint8_t)(i * 37 % 251 + 1);
    const ef_image img = {
        pixels, (int32_t)m->width, (int32_t)m->height, (ptrdiff_t)m->width * 3, EF_RGB8,
        NULL};
    check(!ef_video_add(video(), &img, m->seconds, NULL));
}

/* One track with each frame, and probabilities. */
static void check_result(size_t frames, double first, double last)
{
    ef_video_result r;
    ef_video_result_init(&r, sizeof r);
    check(!ef_video_finish(video(), &r, NULL));
    check(r.frames == frames && r.ntracks == (frames > 0));
    if (!frames)
        return;
    check(r.first <= first && r.first >= first && r.last <= last && r.last >= last);
    check(r.tracks->nfaces == frames && r.fake >= 0 && r.fake <= 1);
    for (size_t i = 0; i < frames; i++) {
        const ef_video_face *f = &r.tracks->faces[i];
        check(f->frame == i && f->fake >= 0 && f->fake <= 1);
        check(f->fake <= r.tracks->faces[r.tracks->best].fake);
    }
}

static void messages(const uint8_t *data, size_t size)
{
    struct video_parser p;
    struct video_message m;
    uint64_t frames = 0, last = 0;
    size_t scored = 0;
    double first_seconds = 0, last_seconds = 0;
    check(!ef_video_begin(video(), NULL));
    video_parser_begin(&p, MOST_PIXELS, MOST_FRAMES);
    for (; size >= sizeof m; data += sizeof m, size -= sizeof m) {
        memcpy(&m, data, sizeof m);
        const int ended = p.ended, started = p.started;
        if (video_parser_check(&p, &m))
            break;
        check(!ended);
        if (m.kind != VIDEO_FRAME) {
            check(m.size <= VIDEO_SENTENCE);
            continue;
        }
        check(started && ++frames <= MOST_FRAMES && m.size <= 3 * MOST_PIXELS);
        check(m.size == (uint64_t)m.width * m.height * 3 && m.size);
        check(frames == 1 || m.index > last);
        last = m.index;
        if (scored == MOST_SCORED)
            continue;
        add_frame(&m);
        first_seconds = scored ? first_seconds : m.seconds;
        last_seconds = m.seconds;
        scored++;
    }
    check_result(scored, first_seconds, last_seconds);
}

/* ---- faces ------------------------------------------------------------------------- */

/* Up to 4 faces a look, any bits as their numbers. */
static void tracks(const uint8_t *data, size_t size)
{
    static struct dfn_tracks t;
    struct dfn_link links[4];
    ef_detection faces[4];
    dfn_tracks_begin(&t, 0.3, 3);
    for (uint32_t frame = 0; size >= 1 + sizeof faces; frame += 1 + (frame & 1)) {
        const size_t n = *data % 5;
        memcpy(faces, data + 1, sizeof faces);
        data += 1 + sizeof faces;
        size -= 1 + sizeof faces;
        dfn_tracks_link(&t, frame, 640, 360, faces, n, links);
        check(t.nopen >= 0 && t.nopen <= DFN_OPEN_TRACKS && t.next_id <= 4 * (frame + 1));
        for (size_t i = 0; i < n; i++) {
            check(links[i].id < t.next_id);
            check(!links[i].continues || links[i].before.frame < frame);
            for (size_t k = 0; k < i; k++)
                check(links[k].id != links[i].id);
        }
    }
}

/* ---- words and marks --------------------------------------------------------------- */

static void words(const uint8_t *data, size_t size)
{
    char text[256];
    struct choice c;
    if (size >= sizeof text)
        return;
    memcpy(text, data, size);
    text[size] = 0;
    if (!choose_parse(text, &c))
        return;
    static const uint64_t totals[] = {1, 2, 33, 1000000000};
    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++) {
        uint64_t at = 0, n = 0;
        for (; n < 100; n++) {
            const uint64_t next = choose_next(&c, at, totals[i], 29.97);
            if (next == UINT64_MAX)
                break;
            check(next >= at && next < totals[i]);
            at = next + 1;
        }
        check(n <= choose_most(&c));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    messages(data, size);
    tracks(data, size);
    words(data, size);
    check((unsigned)kind_of_bytes(data, size) <= KIND_VIDEO);
    return 0;
}
