/* test_guest.c - the library is a good guest in its host's process: after each public
 * call the floating-point control, the locale, the working directory, errno, signal
 * handlers, the signal mask and the environment are what they were, nothing was printed,
 * and in the end no thread and no descriptor is left. (That nothing is writable but the
 * CPU table, and that nothing calls exit() or setlocale(), is
 * tests/style/check_symbols.py's part.)
 *
 * To add a public function, call it with CALL() in use_everything(). To add a property of
 * the process, add it to struct host, take() and compare(). */
#define _GNU_SOURCE /* environ, pthread attributes */

#include "dfn_config.h"
#include "tests/support/support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#define MODEL TEST_SOURCE_ROOT "/weights_tools/models/face-lite0.safetensors"
#define JPEG TEST_SOURCE_ROOT "/examples/photos/astronaut_face.jpg"
#if DFN_HAVE_PNG
#define PNG TEST_SOURCE_ROOT "/examples/photos/astronaut.png"
#else
#define PNG JPEG
#endif
#define ERRNO 4711
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SMALL_STACK (2048 * 1024) /* the tools widen every frame */
#else
#define SMALL_STACK (128 * 1024)
#endif
/* ThreadSanitizer: ten times slower, so only what has threads; and it ends a child of
 * fork() that starts one. */
#if defined(__SANITIZE_THREAD__)
#define DATA_RACES 1
#else
#define DATA_RACES 0
#endif

extern char **environ;

/* What belongs to the host. */
struct host {
    int rounding;
    unsigned mxcsr;     /* control bits: masks, rounding, flush to zero              */
    unsigned short x87; /* control word                                              */
    char locale[256];   /* of all categories                                         */
    char point[8];      /* decimal point                                             */
    char folder[4096];  /* working directory                                         */
    sigset_t mask;      /* of this thread                                            */
    void *handlers[32]; /* of signals 1 to 31                                        */
    const char *const
        *env;         /* where the environment lies                                */
    size_t variables; /* how many there are                                        */
};

static void take(struct host *h)
{
    memset(h, 0, sizeof *h);
    h->rounding = fegetround();
#if defined(__x86_64__) || defined(__i386__)
    h->mxcsr =
        _mm_getcsr() & ~0x3fu; /* the six low bits say what happened, not what may */
    __asm__ volatile("fnstcw %0" : "=m"(h->x87));
#endif
    snprintf(h->locale, sizeof h->locale, "%s", setlocale(LC_ALL, NULL));
    snprintf(h->point, sizeof h->point, "%s", localeconv()->decimal_point);
    ck_assert_ptr_nonnull(getcwd(h->folder, sizeof h->folder));
    pthread_sigmask(SIG_SETMASK, NULL, &h->mask);
    for (int s = 1; s < 32; s++) {
        struct sigaction action;
        if (!sigaction(s, NULL, &action))
            memcpy(&h->handlers[s], &action.sa_handler, sizeof h->handlers[s]);
    }
    h->env = (const char *const *)environ;
    for (char **e = environ; *e; e++)
        h->variables++;
}

static void compare(const struct host *old, const char *call)
{
    struct host now;
    take(&now);
    ck_assert_msg(now.rounding == old->rounding, "%s: rounding mode", call);
    ck_assert_msg(now.mxcsr == old->mxcsr, "%s: MXCSR %x, was %x", call, now.mxcsr,
                  old->mxcsr);
    ck_assert_msg(now.x87 == old->x87, "%s: x87 control word", call);
    ck_assert_msg(!strcmp(now.locale, old->locale), "%s: locale", call);
    ck_assert_msg(!strcmp(now.point, old->point), "%s: decimal point", call);
    ck_assert_msg(!strcmp(now.folder, old->folder), "%s: working directory", call);
    for (int s = 1; s < 32; s++) {
        ck_assert_msg(sigismember(&now.mask, s) == sigismember(&old->mask, s),
                      "%s: mask of signal %d", call, s);
        ck_assert_msg(now.handlers[s] == old->handlers[s], "%s: handler of %d", call, s);
    }
    ck_assert_msg(now.env == old->env && now.variables == old->variables,
                  "%s: environment", call);
}

/* Makes a call and looks at the host before and after. */
#define CALL(expression)                                                                 \
    do {                                                                                 \
        struct host host_before;                                                         \
        take(&host_before);                                                              \
        errno = ERRNO;                                                                   \
        expression;                                                                      \
        ck_assert_msg(errno == ERRNO, "%s: errno is %d", #expression, errno);            \
        compare(&host_before, #expression);                                              \
    } while (0)

/* What must not depend on the host's settings. */
struct outcome {
    float fake, logit, temperature, whole;
    size_t text; /* bytes that ef_session_explain() wrote */
};

static int count_text(void *user, const char *text, size_t length)
{
    (void)text;
    *(size_t *)user += length;
    return 0;
}

static int ignore_step(void *user, const char *name, const float *data, int n, int h,
                       int w, int c)
{
    (void)user, (void)name, (void)data, (void)n, (void)h, (void)w, (void)c;
    return 0;
}

static int open_file(const char *path)
{
    const int fd = open(path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static void use_models(const ef_options *opt, ef_model **model)
{
    ef_error err;
    ef_model_info info;
    ef_status st = EF_OK;
    char path[4096];
    size_t size;
    uint8_t *bytes = test_read_file(MODEL, &size);
    ef_model_info_init(&info, sizeof info);

    CALL(st = ef_model_default_path(path, sizeof path, &err));
    assert_status(st, EF_OK, &err);
    CALL(st = ef_model_load_default(opt, model, &err));
    assert_status(st, EF_OK, &err);
    CALL(ef_model_free(*model));
    CALL(st = ef_model_load_memory(bytes, size, opt, model, &err));
    assert_status(st, EF_OK, &err);
    CALL(ef_model_free(*model));
    const int fd = open_file(MODEL);
    CALL(st = ef_model_load_fd(fd, opt, model, &err));
    assert_status(st, EF_OK, &err);
    ck_assert_int_eq(close(fd), 0);
    CALL(ef_model_free(*model));
    CALL(st = ef_model_validate_file(MODEL, opt, &info, &err));
    assert_status(st, EF_OK, &err);
    CALL(st = ef_model_validate_memory(bytes, size - 1, opt, &info, &err));
    ck_assert_int_ne(st, EF_OK);
    CALL(st = ef_model_load_file("/nonexistent/model", opt, model, &err));
    assert_status(st, EF_E_IO, &err);
    CALL(st = ef_model_load_file(PNG, opt, model, &err));
    assert_status(st, EF_E_FORMAT, &err);
    CALL(st = ef_model_load_file(MODEL, opt, model, &err));
    assert_status(st, EF_OK, &err);
    free(bytes);
}

static void use_facts(const ef_model *model, const ef_options *opt, struct outcome *out)
{
    ef_error err;
    ef_model_info info;
    ef_status st = EF_OK;
    double difference = 0, tolerance = 0;
    float value = 0.5f;
    ef_top top;
    ef_model_info_init(&info, sizeof info);

    CALL(st = ef_model_get_info(model, &info, &err));
    assert_status(st, EF_OK, &err);
    out->temperature = info.temperature;
    CALL((void)ef_model_metadata(model, "dfnet.license"));
    CALL((void)ef_model_label(model, 0));
    CALL(st = ef_model_verify(model, opt, &difference, &tolerance, &err));
    if (fegetround() == FE_TONEAREST)
        assert_status(st, EF_OK, &err);
    CALL(st = ef_model_probabilities(model, &value, &value, &err));
    assert_status(st, EF_OK, &err);
    CALL((void)ef_top_k(&value, 1, &top, 1));
    CALL((void)ef_version());
    CALL((void)ef_strerror(EF_E_IO));
    CALL((void)ef_cpu_features());
    CALL((void)ef_verdict_name(EF_VERDICT_FAKE));
}

/* A picture, and every way in which one can be broken. */
static void use_images(const ef_options *opt, ef_image *img)
{
    static const char *const paths[] = {PNG, JPEG};
    ef_error err;
    ef_status st = EF_OK;
    for (int i = 0; i < 2; i++) {
        size_t size;
        uint8_t *bytes = test_read_file(paths[i], &size);
        CALL(st = ef_image_decode_memory(bytes, size, opt, img, &err));
        assert_status(st, EF_OK, &err);
        CALL(ef_image_free(img));
        CALL(st = ef_image_decode_memory(bytes, size / 2, opt, img, &err));
        if (!st)
            ef_image_free(img);
        memset(bytes + size / 3, 0xff, 64);
        CALL(st = ef_image_decode_memory(bytes, size, opt, img, &err));
        if (!st)
            ef_image_free(img);
        free(bytes);
    }
    CALL(st = ef_image_decode_file("/nonexistent/photo", opt, img, &err));
    assert_status(st, EF_E_IO, &err);
    const int fd = open_file(PNG);
    CALL(st = ef_image_decode_fd(fd, opt, img, &err));
    assert_status(st, EF_OK, &err);
    ck_assert_int_eq(close(fd), 0);
    CALL(ef_image_free(img));
    CALL(st = ef_image_decode_file(JPEG, opt, img, &err));
    assert_status(st, EF_OK, &err);
}

static void use_session(const ef_model *model, const ef_options *opt, const ef_image *img,
                        struct outcome *out)
{
    ef_error err;
    ef_status st = EF_OK;
    ef_session *session = NULL;
    ef_step_time times[4];
    int height = 0, width = 0;

    CALL(st = ef_session_create(model, opt, &session, &err));
    assert_status(st, EF_OK, &err);
    CALL(st = ef_session_shape(session, &height, &width, NULL, NULL, &err));
    assert_status(st, EF_OK, &err);
    float *input = calloc((size_t)height * (size_t)width * 3, sizeof *input);
    ck_assert_ptr_nonnull(input);
    CALL(st = ef_model_preprocess(model, opt, img, NULL, input, &err));
    assert_status(st, EF_OK, &err);
    CALL(st = ef_session_profile(session, 1, &err));
    CALL(st = ef_session_tap(session, ignore_step, NULL, &err));
    CALL(st = ef_session_run(session, input, 1, &out->whole, &err));
    assert_status(st, EF_OK, &err);
    CALL(st = ef_session_run(session, NULL, 1, &out->whole, &err));
    assert_status(st, EF_E_ARG, &err);
    CALL(st = ef_session_profile(session, 0, &err));
    CALL(st = ef_session_explain(session, count_text, &out->text, &err));
    assert_status(st, EF_OK, &err);
    CALL((void)ef_session_times(session, times, 4));
    CALL((void)ef_session_memory(session));
    CALL(ef_session_free(session));
    free(input);
}

static void use_heatmap(ef_classifier *classifier, const ef_options *opt,
                        const ef_image *img)
{
    ef_error err;
    ef_status st = EF_OK;
    ef_heatmap map;
    ef_image drawn;
    size_t bytes = 0;
    CALL(st = ef_classify_heatmap(classifier, img, NULL, 0, NULL, &map, &err));
    assert_status(st, EF_OK, &err);
    CALL(st = ef_heatmap_draw(&map, img, 0.5f, 0, opt, &drawn, &err));
    assert_status(st, EF_OK, &err);
    CALL(st = ef_image_encode_png(&drawn, opt, count_text, &bytes, &err));
    assert_status(st, DFN_HAVE_PNG ? EF_OK : EF_E_UNSUPPORTED, &err);
    CALL(ef_image_free(&drawn));
    CALL(ef_heatmap_free(&map));
}

static void use_classifier(const ef_model *model, const ef_options *opt,
                           const ef_image *img, struct outcome *out)
{
    ef_error err;
    ef_status st = EF_OK;
    ef_classifier *classifier = NULL;
    ef_classifier_options what;
    ef_result result;
    const ef_box box = {20, 20, 120, 120};
    ef_result_init(&result, sizeof result);

    CALL(st = ef_classifier_create_simple(model, opt, &classifier, &err));
    assert_status(st, EF_OK, &err);
    CALL(ef_classifier_free(classifier));
    CALL(ef_classifier_options_init(&what, sizeof what));
    what.models = &model;
    what.model_count = 1;
    CALL(st = ef_classifier_create(&what, opt, &classifier, &err));
    assert_status(st, EF_OK, &err);
    CALL(st = ef_classify_faces(classifier, img, &box, 1, &result, &err));
    assert_status(st, EF_OK, &err);
    CALL(st = ef_classify_face(classifier, NULL, NULL, &result, &err));
    assert_status(st, EF_E_ARG, &err);
    CALL(st = ef_classify_face(classifier, img, NULL, &result, &err));
    assert_status(st, EF_OK, &err);
    out->fake = result.fake;
    out->logit = result.logit;
    use_heatmap(classifier, opt, img);
    CALL((void)ef_classifier_memory(classifier));
    CALL(ef_classifier_free(classifier));
}

/* Every public function, successes and failures. */
static void use_everything(int threads, struct outcome *out)
{
    ef_options opt;
    ef_model *model = NULL;
    ef_image img;
    memset(out, 0, sizeof *out);
    memset(&img, 0, sizeof img);
    CALL(ef_options_init(&opt, sizeof opt));
    opt.threads = threads;
    opt.gemm = EF_GEMM_NATIVE; /* the same bits everywhere */
    use_models(&opt, &model);
    use_facts(model, &opt, out);
    use_images(&opt, &img);
    use_session(model, &opt, &img, out);
    use_classifier(model, &opt, &img, out);
    CALL(ef_image_free(&img));
    CALL(ef_model_free(model));
}

static void expect_same(const struct outcome *a, const struct outcome *b)
{
    ck_assert_msg(!memcmp(a, b, sizeof *a), "fake %a, %a; whole %a, %a; text %zu, %zu",
                  (double)a->fake, (double)b->fake, (double)a->whole, (double)b->whole,
                  a->text, b->text);
}

static int entries(const char *folder)
{
    int n = 0;
    DIR *d = opendir(folder);
    ck_assert_ptr_nonnull(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

START_TEST(nothing_is_left_behind)
{
    struct outcome first, second;
    use_everything(3, &first); /* what libraries set up once is not a leak */
    const int files = entries("/proc/self/fd"), threads = entries("/proc/self/task");
    use_everything(3, &second);
    expect_same(&first, &second);
    ck_assert_int_eq(entries("/proc/self/fd"), files);
    /* A joined thread leaves the list a moment after pthread_join() returns. */
    for (int i = 0; i < 100 && entries("/proc/self/task") > threads; i++)
        usleep(10000);
    ck_assert_int_le(entries("/proc/self/task"), threads);
}
END_TEST

START_TEST(nothing_is_printed)
{
    struct outcome out;
    fflush(NULL);
    FILE *sink = tmpfile();
    ck_assert_ptr_nonnull(sink);
    const int old_out = dup(1), old_err = dup(2);
    ck_assert(dup2(fileno(sink), 1) == 1 && dup2(fileno(sink), 2) == 2);
    use_everything(1, &out);
    fflush(NULL);
    ck_assert(dup2(old_out, 1) == 1 && dup2(old_err, 2) == 2);
    close(old_out);
    close(old_err);
    char text[256] = "";
    rewind(sink);
    const size_t n = fread(text, 1, sizeof text - 1, sink);
    fclose(sink);
    ck_assert_msg(n == 0, "printed: %s", text);
}
END_TEST

START_TEST(any_rounding_and_flushing)
{
    static const int modes[] = {FE_UPWARD, FE_TOWARDZERO};
    struct outcome out;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(fesetround(modes[i]), 0);
        use_everything(2, &out);
        ck_assert_int_eq(fesetround(FE_TONEAREST), 0);
        ck_assert(out.fake > 0 && out.fake < 1);
    }
#if defined(__x86_64__) || defined(__i386__)
    const unsigned old = _mm_getcsr();
    _mm_setcsr(old | 0x8040u); /* flush to zero, denormals are zero */
    use_everything(2, &out);
    ck_assert_uint_eq(_mm_getcsr() & 0x8040u, 0x8040u);
    _mm_setcsr(old);
    ck_assert(out.fake > 0 && out.fake < 1);
#endif
}
END_TEST

/* A locale that writes 0,5: an installed one, else one compiled here from the system's
 * sources. NULL if there is neither. */
static const char *comma_locale(void)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8",
                                        "ru_RU.UTF-8", "pt_BR.UTF-8"};
    static char folder[256];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (setlocale(LC_ALL, names[i]))
            return names[i];
    char command[900];
    snprintf(folder, sizeof folder, "%s", test_temp_file("locale", "", 0));
    snprintf(command, sizeof command,
             "rm -f '%s' && mkdir '%s' && "
             "localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' >/dev/null 2>&1",
             folder, folder, folder);
    if (system(command) || setenv("LOCPATH", folder, 1))
        return NULL;
    return setlocale(LC_ALL, names[0]) ? names[0] : NULL;
}

START_TEST(any_locale)
{
    struct outcome expected, out;
    use_everything(1, &expected);
    if (!comma_locale()) {
        printf("not tried: no locale with a decimal comma (Debian: package locales)\n");
        return;
    }
    ck_assert_str_eq(localeconv()->decimal_point, ",");
    use_everything(1, &out);
    setlocale(LC_ALL, "C");
    expect_same(&expected, &out);
}
END_TEST

static void *in_thread(void *out)
{
    use_everything(1, out);
    return NULL;
}

START_TEST(small_stack)
{
    struct outcome expected, out;
    pthread_attr_t attr;
    pthread_t thread;
    use_everything(1, &expected);
    ck_assert_int_eq(pthread_attr_init(&attr), 0);
    ck_assert_int_eq(pthread_attr_setstacksize(&attr, SMALL_STACK), 0);
    ck_assert_int_eq(pthread_create(&thread, &attr, in_thread, &out), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attr);
    expect_same(&expected, &out);
}
END_TEST

#define MOST_THREADS 256

/* Thread numbers of this process; returns how many. */
static int thread_ids(long ids[MOST_THREADS])
{
    DIR *folder = opendir("/proc/self/task");
    int n = 0;
    ck_assert_ptr_nonnull(folder);
    for (struct dirent *d; (d = readdir(folder)) && n < MOST_THREADS;)
        if (d->d_name[0] != '.')
            ids[n++] = strtol(d->d_name, NULL, 10);
    closedir(folder);
    return n;
}

/* Signals that a thread blocks, as /proc shows them: bit n - 1 for signal n. */
static unsigned long long blocked_signals(long thread)
{
    char path[64], line[256];
    unsigned long long mask = 0;
    snprintf(path, sizeof path, "/proc/self/task/%ld/status", thread);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f))
        sscanf(line, "SigBlk: %llx", &mask);
    fclose(f);
    return mask;
}

/* The host's handlers never run on the library's threads: they block every signal. */
START_TEST(workers_take_no_signals)
{
    static const int signals[] = {SIGINT,  SIGTERM, SIGHUP,  SIGUSR1, SIGUSR2,
                                  SIGCHLD, SIGALRM, SIGPIPE, SIGWINCH};
    long before[MOST_THREADS], after[MOST_THREADS];
    const int nbefore = thread_ids(before);
    int workers = 0;
    ef_options opt;
    ef_error err;
    ef_model *model = NULL;
    ef_session *session = NULL;
    ef_options_init(&opt, sizeof opt);
    opt.threads = 4;
    assert_status(ef_model_load_file(MODEL, &opt, &model, &err), EF_OK, &err);
    assert_status(ef_session_create(model, &opt, &session, &err), EF_OK, &err);
    const int nafter = thread_ids(after);
    for (int i = 0; i < nafter; i++) {
        bool is_new = true;
        for (int j = 0; j < nbefore; j++)
            is_new = is_new && after[i] != before[j];
        if (!is_new)
            continue;
        workers++;
        for (size_t s = 0; s < sizeof signals / sizeof *signals; s++)
            ck_assert_msg(blocked_signals(after[i]) >> (signals[s] - 1) & 1,
                          "a worker would take signal %d", signals[s]);
    }
    ck_assert_int_eq(workers, 3);
    ef_session_free(session);
    ef_model_free(model);
}
END_TEST

/* A child that was forked after the library was used can use it, with the parent's model
 * and a session of its own. */
START_TEST(child_after_fork)
{
    ef_options opt;
    ef_error err;
    ef_model *model = NULL;
    struct outcome expected = {0}, out = {0};
    ef_image img;
    ef_options_init(&opt, sizeof opt);
    opt.threads = 2;
    opt.gemm = EF_GEMM_NATIVE;
    assert_status(ef_model_load_file(MODEL, &opt, &model, &err), EF_OK, &err);
    assert_status(ef_image_decode_file(JPEG, &opt, &img, &err), EF_OK, &err);
    use_classifier(model, &opt, &img, &expected);
    fflush(NULL);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        use_classifier(model, &opt, &img, &out);
        _exit(memcmp(&out, &expected, sizeof out) ? 1 : 0);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ef_image_free(&img);
    ef_model_free(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("guest");
    TCase *c = tcase_create("guest");
    tcase_set_timeout(c, 300);
    tcase_add_test(c, nothing_is_left_behind);
    tcase_add_test(c, workers_take_no_signals);
    if (!DATA_RACES) {
        tcase_add_test(c, nothing_is_printed);
        tcase_add_test(c, any_rounding_and_flushing);
        tcase_add_test(c, any_locale);
        tcase_add_test(c, small_stack);
        tcase_add_test(c, child_after_fork);
    }
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
