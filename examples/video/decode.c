/* decode.c - see decode.h. Two passes: the first reads the packets' times, so that a
 * frame has a number (its rank by time) and "spread over the length" a meaning, however
 * long the container claims to be; the second decodes what is wanted, and of the rest
 * only what that is predicted from. About 9 bytes a frame of the file are held. */
#define _POSIX_C_SOURCE 200809L
#include "examples/video/decode.h"

#include "examples/video/protocol.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/imgutils.h>
#include <libswscale/swscale.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IO_BLOCK 65536
#define PROBE_BYTES 65536
#define NONE UINT64_MAX
/* Less than the protocol allows (protocol.c). */
#define MOST_SECONDS 999999999.0

struct decoder {
    struct choice choice;
    uint64_t max_pixels;
    const struct decoder_io *io;
    AVFormatContext *format;
    AVIOContext *stream_io;
    AVStream *stream;
    AVCodecContext *codec;
    struct SwsContext *scaler;
    AVPacket *packet;
    AVFrame *frame;
    /* The packets' times, rising, each once; not ranked: times say nothing, and frames
     * are counted as they come. */
    int64_t *times, *keys;
    size_t ntimes, nkeys, cap, keys_cap;
    uint64_t packets;
    int ranked, seekable;
    double fps;
    int32_t turn[4]; /* signs of a, b, c, d of the display matrix */
    uint8_t *rgb, *turned;
    size_t rgb_size;
    uint64_t next;    /* number of the next wanted frame      */
    double next_time; /* of CHOOSE_TIME                     */
    uint64_t decoded, sent;
    double last_seconds;
    uint64_t last_index;
    const char *partial; /* why, or NULL */
};

/* ---- talking ----------------------------------------------------------------------- */

static void say(struct decoder *d, struct video_message m, const void *bytes)
{
    m.magic = VIDEO_MAGIC;
    d->io->write(d->io->user, &m, sizeof m);
    if (m.size)
        d->io->write(d->io->user, bytes, (size_t)m.size);
}

/* Does not return. */
static void fail(struct decoder *d, enum video_failure why, const char *sentence)
{
    const struct video_message m = {
        .kind = VIDEO_FAILED, .flags = (uint32_t)why, .size = strlen(sentence)};
    say(d, m, sentence);
    d->io->end(d->io->user);
}

/* What an error code of FFmpeg means for the file. */
static void fail_with(struct decoder *d, int code, enum video_failure otherwise,
                      const char *sentence)
{
    if (code == AVERROR(ENOMEM))
        fail(d, VIDEO_NO_MEMORY, "decoding needs more memory than the limit allows");
    fail(d, otherwise, sentence);
}

static void no_memory(struct decoder *d)
{
    fail_with(d, AVERROR(ENOMEM), VIDEO_NO_MEMORY, "");
}

/* ---- the file ---------------------------------------------------------------------- */

static int read_block(void *user, uint8_t *to, int size)
{
    const struct decoder *d = user;
    const int got = d->io->read(d->io->user, to, size);
    return got > 0 ? got : got ? AVERROR(EIO) : AVERROR_EOF;
}

static int64_t seek_to(void *user, int64_t offset, int whence)
{
    const struct decoder *d = user;
    int64_t at;
    if (whence & AVSEEK_SIZE) {
        const int64_t here = d->io->seek(d->io->user, 0, SEEK_CUR);
        at = d->io->seek(d->io->user, 0, SEEK_END);
        d->io->seek(d->io->user, here, SEEK_SET);
    } else {
        at = d->io->seek(d->io->user, offset, whence & ~AVSEEK_FORCE);
    }
    return at < 0 ? AVERROR(EIO) : at;
}

/* Playlists and files that name others. */
static int open_nothing(AVFormatContext *format, AVIOContext **io, const char *url,
                        int flags, AVDictionary **options)
{
    (void)format, (void)io, (void)url, (void)flags, (void)options;
    return AVERROR(EPERM);
}

/* Ends the process if the bytes look like no medium. */
static void probe(struct decoder *d)
{
    uint8_t *bytes = av_mallocz(PROBE_BYTES + AVPROBE_PADDING_SIZE);
    AVProbeData data = {.filename = "", .buf = bytes};
    int score = 0;
    if (!bytes)
        no_memory(d);
    d->io->seek(d->io->user, 0, SEEK_SET);
    while (data.buf_size < PROBE_BYTES) {
        const int got = read_block(d, bytes + data.buf_size, PROBE_BYTES - data.buf_size);
        if (got <= 0)
            break;
        data.buf_size += got;
    }
    const AVInputFormat *format = av_probe_input_format3(&data, 1, &score);
    av_free(bytes);
    if (!data.buf_size)
        fail(d, VIDEO_NOT_ONE, "the file is empty");
    if (!format || score <= AVPROBE_SCORE_RETRY)
        fail(d, VIDEO_NOT_ONE, "is of no kind that FFmpeg knows");
}

/* The stream that is shown: not a picture of a record's cover. */
static AVStream *find_stream(AVFormatContext *format)
{
    AVStream *best = NULL;
    for (unsigned i = 0; i < format->nb_streams; i++) {
        AVStream *s = format->streams[i];
        const int other = AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_TIMED_THUMBNAILS;
        const int64_t pixels = (int64_t)s->codecpar->width * s->codecpar->height;
        if (s->codecpar->codec_type != AVMEDIA_TYPE_VIDEO || (s->disposition & other))
            continue;
        if (!best || pixels > (int64_t)best->codecpar->width * best->codecpar->height)
            best = s;
    }
    return best;
}

static void close_file(struct decoder *d)
{
    avformat_close_input(&d->format);
    if (d->stream_io)
        av_freep(&d->stream_io->buffer);
    avio_context_free(&d->stream_io);
}

static void open_file(struct decoder *d)
{
    uint8_t *block = av_malloc(IO_BLOCK);
    d->io->seek(d->io->user, 0, SEEK_SET);
    d->stream_io =
        block ? avio_alloc_context(block, IO_BLOCK, 0, d, read_block, NULL, seek_to)
              : NULL;
    d->format = avformat_alloc_context();
    if (!d->stream_io || !d->format)
        no_memory(d);
    d->format->pb = d->stream_io;
    d->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    d->format->io_open = open_nothing;
    int code = avformat_open_input(&d->format, "", NULL, NULL);
    if (code < 0)
        fail_with(d, code, VIDEO_DAMAGED, "its container is damaged or incomplete");
    code = avformat_find_stream_info(d->format, NULL);
    if (code == AVERROR(ENOMEM))
        no_memory(d);
    d->stream = find_stream(d->format);
    if (!d->stream)
        fail(d, VIDEO_DAMAGED,
             d->format->nb_streams ? "holds no video, only sound or text"
                                   : "holds no video");
    for (unsigned i = 0; i < d->format->nb_streams; i++)
        if (d->format->streams[i] != d->stream)
            d->format->streams[i]->discard = AVDISCARD_ALL;
}

/* ---- first pass: times ------------------------------------------------------------- */

static void append(struct decoder *d, int64_t **array, size_t *n, size_t *cap,
                   int64_t value)
{
    if (*n == *cap) {
        const size_t more = *cap ? 2 * *cap : 1024;
        int64_t *grown = av_realloc_array(*array, more, sizeof *grown);
        if (!grown)
            no_memory(d);
        *array = grown;
        *cap = more;
    }
    (*array)[(*n)++] = value;
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static size_t once_each(int64_t *values, size_t n)
{
    size_t kept = 0;
    if (n)
        qsort(values, n, sizeof *values, by_value);
    for (size_t i = 0; i < n; i++)
        if (!kept || values[i] != values[kept - 1])
            values[kept++] = values[i];
    return kept;
}

static int64_t time_of(const AVPacket *p)
{
    return p->pts != AV_NOPTS_VALUE ? p->pts : p->dts;
}

static double seconds_of(const struct decoder *d, int64_t time)
{
    /* Times of a damaged file may be further apart than an integer can say. */
    return ((double)time - (double)d->times[0]) * av_q2d(d->stream->time_base);
}

static void read_times(struct decoder *d)
{
    AVPacket *packet = d->packet;
    int code;
    d->ranked = 1;
    while ((code = av_read_frame(d->format, packet)) >= 0) {
        if (packet->stream_index == d->stream->index) {
            const int64_t t = time_of(packet);
            d->packets++;
            d->ranked &= t != AV_NOPTS_VALUE;
            if (packet->flags & AV_PKT_FLAG_CORRUPT)
                d->partial = "parts of the file are missing";
            if (d->ranked)
                append(d, &d->times, &d->ntimes, &d->cap, t);
            if (d->ranked && (packet->flags & AV_PKT_FLAG_KEY))
                append(d, &d->keys, &d->nkeys, &d->keys_cap, t);
        }
        av_packet_unref(packet);
    }
    if (code == AVERROR(ENOMEM))
        no_memory(d);
    if (code != AVERROR_EOF)
        d->partial = "the file cannot be read to its end";
    if (!d->packets)
        fail(d, VIDEO_DAMAGED, "its video has no frames");
    d->ntimes = once_each(d->times, d->ntimes);
    d->nkeys = once_each(d->keys, d->nkeys);
    /* A span of more than thirty years is damage: then frames are counted, too. */
    if (d->ranked && !(seconds_of(d, d->times[d->ntimes - 1]) < MOST_SECONDS))
        d->ranked = 0;
}

/* Seconds that the header promises for this stream; 0: nothing. */
static double promised(const struct decoder *d)
{
    const AVStream *s = d->stream;
    const AVDictionaryEntry *tag = av_dict_get(s->metadata, "DURATION", NULL, 0);
    int hours = 0, minutes = 0;
    double seconds = 0;
    if (tag && sscanf(tag->value, "%d:%d:%lf", &hours, &minutes, &seconds) == 3)
        return hours * 3600.0 + minutes * 60.0 + seconds;
    if (s->duration != AV_NOPTS_VALUE && s->duration > 0)
        return (double)s->duration * av_q2d(s->time_base);
    return d->format->nb_streams == 1 && d->format->duration > 0
               ? (double)d->format->duration / AV_TIME_BASE
               : 0;
}

/* Compares what came with what the container says of itself. */
static void look_for_loss(struct decoder *d)
{
    const uint64_t claimed =
        d->stream->nb_frames > 0 ? (uint64_t)d->stream->nb_frames : 0;
    const double length = d->ranked ? seconds_of(d, d->times[d->ntimes - 1]) : 0;
    const double frame = d->fps > 0 ? 1 / d->fps : 0;
    const double missing = d->ranked ? promised(d) - length - frame : 0;
    if (claimed > d->packets || (missing > 0.5 && missing > 2 * frame))
        d->partial = "the file ends before its video does";
}

static uint64_t total(const struct decoder *d)
{
    return d->ranked ? d->ntimes : d->packets;
}

/* Place of the first time that is not before t. */
static size_t place(const int64_t *values, size_t n, int64_t t)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (values[middle] < t)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The number of the next wanted frame from `from` on, to d->next. */
static void advance(struct decoder *d, uint64_t from)
{
    const uint64_t n = total(d);
    uint64_t next = choose_next(&d->choice, from, n, d->fps);
    if (d->choice.kind == CHOOSE_TIME && d->ranked)
        while (next < n && seconds_of(d, d->times[next]) < d->next_time)
            next++;
    d->next = next < n ? next : NONE;
}

/* ---- second pass: pixels ----------------------------------------------------------- */

static void open_codec(struct decoder *d)
{
    const AVCodecParameters *p = d->stream->codecpar;
    const AVCodec *codec = avcodec_find_decoder(p->codec_id);
    if (!codec) {
        char sentence[VIDEO_SENTENCE];
        snprintf(sentence, sizeof sentence, "its codec, %.40s, is not in this FFmpeg",
                 avcodec_get_name(p->codec_id));
        fail(d, VIDEO_DAMAGED, sentence);
    }
    if (p->width <= 0 || p->height <= 0)
        fail(d, VIDEO_DAMAGED, "its video has no size");
    if ((uint64_t)p->width * (uint64_t)p->height > d->max_pixels)
        fail(d, VIDEO_TOO_LARGE, "its frames have more pixels than allowed");
    d->codec = avcodec_alloc_context3(codec);
    if (!d->codec || avcodec_parameters_to_context(d->codec, p) < 0)
        no_memory(d);
    d->codec->thread_count = 1;
    d->codec->pkt_timebase = d->stream->time_base;
    d->codec->max_pixels = (int64_t)d->max_pixels;
    const int code = avcodec_open2(d->codec, codec, NULL);
    if (code < 0)
        fail_with(d, code, VIDEO_DAMAGED, "its codec cannot be started");
}

static int32_t sign(int32_t v)
{
    return (v > 0) - (v < 0);
}

/* The display matrix [3][3]: shown x = a x + c y, y = b x + d y, for a, b in its first
 * row and c, d in its second. Whatever it says is taken as the nearest of eight turns. */
static void take_matrix(struct decoder *d, const uint8_t *data, size_t size)
{
    int32_t m[9];
    if (!data || size < sizeof m)
        return;
    memcpy(m, data, sizeof m);
    const int64_t upright = llabs((long long)m[0]) + llabs((long long)m[4]);
    const int64_t lying = llabs((long long)m[1]) + llabs((long long)m[3]);
    const int32_t turn[4] = {
        upright >= lying ? sign(m[0]) : 0, upright >= lying ? 0 : sign(m[1]),
        upright >= lying ? 0 : sign(m[3]), upright >= lying ? sign(m[4]) : 0};
    if ((turn[0] && turn[3]) || (turn[1] && turn[2]))
        memcpy(d->turn, turn, sizeof turn);
}

static int lies(const struct decoder *d)
{
    return d->turn[1] != 0;
}

/* from [h][w][3] to [w][h][3] or [h][w][3], as d->turn says. */
static void turn(const struct decoder *d, const uint8_t *from, int w, int h, uint8_t *to)
{
    const int lying = lies(d), ow = lying ? h : w, oh = lying ? w : h;
    /* Walking right in the result, and walking down, in pixels of the source. */
    const ptrdiff_t sx = lying ? 0 : d->turn[0], sy = lying ? d->turn[2] : 0;
    const ptrdiff_t dx = lying ? d->turn[1] : 0, dy = lying ? 0 : d->turn[3];
    const ptrdiff_t x0 = sx < 0 || dx < 0 ? w - 1 : 0, y0 = sy < 0 || dy < 0 ? h - 1 : 0;
    const ptrdiff_t right = (sy * w + sx) * 3, down = (dy * w + dx) * 3;
    const uint8_t *row = from + (y0 * w + x0) * 3;
    for (int y = 0; y < oh; y++, row += down) {
        const uint8_t *p = row;
        for (int x = 0; x < ow; x++, p += right, to += 3)
            memcpy(to, p, 3);
    }
}

static void need_pixels(struct decoder *d, int w, int h)
{
    if (w <= 0 || h <= 0 || w > VIDEO_MOST_SIDE || h > VIDEO_MOST_SIDE ||
        (uint64_t)w * (uint64_t)h > d->max_pixels)
        fail(d, VIDEO_TOO_LARGE, "its frames have more pixels than allowed");
    const size_t size = (size_t)w * (size_t)h * 3;
    if (size <= d->rgb_size)
        return;
    av_freep(&d->rgb);
    av_freep(&d->turned);
    /* The scaler writes whole vectors. */
    d->rgb = av_malloc(size + 64);
    d->turned = av_malloc(size);
    if (!d->rgb || !d->turned)
        no_memory(d);
    d->rgb_size = size;
}

/* Colours as the file says; where it says nothing, FFmpeg's own default (BT.601). */
static void convert(struct decoder *d, const AVFrame *f)
{
    uint8_t *const to[4] = {d->rgb};
    const int strides[4] = {f->width * 3};
    d->scaler = sws_getCachedContext(d->scaler, f->width, f->height,
                                     (enum AVPixelFormat)f->format, f->width, f->height,
                                     AV_PIX_FMT_RGB24, SWS_BILINEAR, NULL, NULL, NULL);
    if (!d->scaler)
        fail(d, VIDEO_DAMAGED, "its pixels are of a kind that cannot be converted");
    const int *from = sws_getCoefficients(f->colorspace == AVCOL_SPC_UNSPECIFIED ||
                                                  f->colorspace == AVCOL_SPC_RGB
                                              ? SWS_CS_DEFAULT
                                              : (int)f->colorspace);
    sws_setColorspaceDetails(d->scaler, from, f->color_range == AVCOL_RANGE_JPEG,
                             sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
    if (sws_scale(d->scaler, (const uint8_t *const *)f->data, f->linesize, 0, f->height,
                  to, strides) != f->height)
        fail(d, VIDEO_NO_MEMORY, "a frame could not be converted");
}

static void send_frame(struct decoder *d, const AVFrame *f, uint64_t index,
                       double seconds)
{
    const AVFrameSideData *side = av_frame_get_side_data(f, AV_FRAME_DATA_DISPLAYMATRIX);
    if (side)
        take_matrix(d, side->data, side->size);
    need_pixels(d, f->width, f->height);
    convert(d, f);
    const int plain = d->turn[0] == 1 && d->turn[3] == 1;
    if (!plain)
        turn(d, d->rgb, f->width, f->height, d->turned);
    struct video_message m = {.kind = VIDEO_FRAME,
                              .width = (uint32_t)(lies(d) ? f->height : f->width),
                              .height = (uint32_t)(lies(d) ? f->width : f->height),
                              .index = index,
                              .seconds = seconds};
    m.size = (uint64_t)m.width * m.height * 3;
    say(d, m, plain ? d->rgb : d->turned);
    d->sent++;
    d->last_index = index;
    d->last_seconds = seconds;
}

/* One decoded frame: wanted, or not. */
static void take_frame(struct decoder *d, const AVFrame *f)
{
    const int64_t t = f->best_effort_timestamp;
    uint64_t index = d->decoded++;
    double seconds = d->fps > 0 ? fmin((double)index / d->fps, MOST_SECONDS) : 0;
    if ((f->flags & AV_FRAME_FLAG_CORRUPT) || f->decode_error_flags)
        d->partial = "parts of it are damaged";
    if (d->ranked && t != AV_NOPTS_VALUE) {
        index = place(d->times, d->ntimes, t);
        if (index >= d->ntimes)
            return;
        seconds = seconds_of(d, t);
    } else if (d->ranked) {
        return;
    }
    if (index < d->next || (d->sent && index <= d->last_index))
        return;
    if (d->choice.kind == CHOOSE_TIME) {
        if (seconds < d->next_time)
            return;
        d->next_time = (floor(seconds * d->choice.rate) + 1) / d->choice.rate;
    }
    send_frame(d, f, index,
               d->sent && seconds < d->last_seconds ? d->last_seconds : seconds);
    advance(d, index + 1);
}

static void take_frames(struct decoder *d)
{
    AVFrame *frame = d->frame;
    int code = 0;
    while (d->next != NONE && (code = avcodec_receive_frame(d->codec, frame)) >= 0) {
        take_frame(d, frame);
        av_frame_unref(frame);
    }
    if (d->next != NONE && code == AVERROR(ENOMEM))
        no_memory(d);
}

/* Goes to the last key frame before the next wanted one, if it lies ahead. */
static void jump(struct decoder *d, int64_t reached)
{
    if (!d->seekable || d->next >= d->ntimes)
        return;
    const int64_t target = d->times[d->next];
    const size_t k = place(d->keys, d->nkeys, target + 1);
    if (!k || d->keys[k - 1] <= reached)
        return;
    if (av_seek_frame(d->format, d->stream->index, d->keys[k - 1],
                      AVSEEK_FLAG_BACKWARD) >= 0)
        avcodec_flush_buffers(d->codec);
}

/* Frames that nothing is predicted from need no decoding unless they are wanted. The next
 * wanted number may grow while packets are on their way: any time that will be wanted
 * counts. */
static int may_skip(const struct decoder *d, int64_t t)
{
    if (!d->ranked || t == AV_NOPTS_VALUE)
        return 0;
    const size_t rank = place(d->times, d->ntimes, t);
    if (d->choice.kind == CHOOSE_TIME)
        return 0;
    return choose_next(&d->choice, rank, d->ntimes, d->fps) != rank;
}

static void decode(struct decoder *d)
{
    AVPacket *packet = d->packet;
    int64_t reached = INT64_MIN;
    int code = 0;
    jump(d, reached);
    while (d->next != NONE && (code = av_read_frame(d->format, packet)) >= 0) {
        if (packet->stream_index != d->stream->index) {
            av_packet_unref(packet);
            continue;
        }
        const int64_t t = time_of(packet);
        d->codec->skip_frame = may_skip(d, t) ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
        const uint64_t before = d->next;
        /* Some codecs call a failed allocation damage; malloc() says what it was. */
        errno = 0;
        const int sent = avcodec_send_packet(d->codec, packet);
        if (sent == AVERROR(ENOMEM) || (sent < 0 && errno == ENOMEM))
            no_memory(d);
        if (sent < 0 && sent != AVERROR(EAGAIN))
            d->partial = "parts of it are damaged";
        av_packet_unref(packet);
        take_frames(d);
        if (t != AV_NOPTS_VALUE && t > reached)
            reached = t;
        if (d->next != before)
            jump(d, reached);
    }
    if (code == AVERROR(ENOMEM))
        no_memory(d);
    d->codec->skip_frame = AVDISCARD_DEFAULT;
    if (d->next != NONE && avcodec_send_packet(d->codec, NULL) >= 0)
        take_frames(d);
}

/* ---- all --------------------------------------------------------------------------- */

static void read_facts(struct decoder *d)
{
    const AVRational rate = d->stream->avg_frame_rate.num > 0 ? d->stream->avg_frame_rate
                                                              : d->stream->r_frame_rate;
    const char *name = d->format->iformat->name;
    size_t size = 0;
    const uint8_t *matrix =
        av_stream_get_side_data(d->stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
    d->fps = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0;
    take_matrix(d, matrix, size);
    /* Containers with an index that says where key frames are. */
    d->seekable = strstr(name, "mp4") || strstr(name, "matroska");
}

/* Back to the first packet. */
static void rewind_file(struct decoder *d)
{
    d->seekable &= d->ranked;
    if (d->seekable && av_seek_frame(d->format, d->stream->index, d->times[0],
                                     AVSEEK_FLAG_BACKWARD) >= 0)
        return;
    close_file(d);
    open_file(d);
}

struct decoder *decoder_create(const struct choice *choice, uint64_t max_pixels,
                               const struct decoder_io *io)
{
    struct decoder *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->choice = *choice;
    d->max_pixels = max_pixels;
    d->io = io;
    d->turn[0] = d->turn[3] = 1;
    av_log_set_level(AV_LOG_QUIET);
    return d;
}

void decoder_run(struct decoder *d)
{
    d->packet = av_packet_alloc();
    d->frame = av_frame_alloc();
    if (!d->packet || !d->frame)
        no_memory(d);
    probe(d);
    open_file(d);
    read_facts(d);
    read_times(d);
    look_for_loss(d);
    open_codec(d);
    const uint64_t most = choose_most(&d->choice), n = total(d);
    const double length =
        d->ranked
            ? fmin(seconds_of(d, d->times[d->ntimes - 1]) + (d->fps > 0 ? 1 / d->fps : 0),
                   MOST_SECONDS)
            : 0;
    const struct video_message start = {
        .kind = VIDEO_START,
        .width = (uint32_t)(lies(d) ? d->codec->height : d->codec->width),
        .height = (uint32_t)(lies(d) ? d->codec->width : d->codec->height),
        .count = (uint32_t)(most < n         ? most
                            : n < UINT32_MAX ? n
                                             : UINT32_MAX),
        .total = n,
        .seconds = length};
    say(d, start, NULL);
    rewind_file(d);
    advance(d, 0);
    const int wanted = d->next != NONE;
    decode(d);
    if (wanted && !d->sent)
        fail(d, VIDEO_DAMAGED, "no frame of it can be decoded");
    if (d->next != NONE && !d->partial)
        d->partial = "its last frames could not be decoded";
    struct timespec cpu = {0, 0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    const struct video_message end = {.kind = VIDEO_END,
                                      .flags = d->partial ? VIDEO_PARTIAL : 0,
                                      .total = d->decoded,
                                      .size = d->partial ? strlen(d->partial) : 0,
                                      .seconds = (double)cpu.tv_sec +
                                                 (double)cpu.tv_nsec * 1e-9};
    say(d, end, d->partial);
    d->io->end(d->io->user);
}

void decoder_free(struct decoder *d)
{
    if (!d)
        return;
    av_packet_free(&d->packet);
    av_frame_free(&d->frame);
    avcodec_free_context(&d->codec);
    sws_freeContext(d->scaler);
    d->scaler = NULL;
    close_file(d);
    av_freep(&d->times);
    av_freep(&d->keys);
    av_freep(&d->rgb);
    av_freep(&d->turned);
    free(d);
}
