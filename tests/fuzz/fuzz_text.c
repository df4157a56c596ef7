/* fuzz_text.c - any bytes as a list of file names (--files-from), and each name through
 * everything that dfnet does to text from outside: HTML, CSV, JSON, terminal, manual
 * page, file name. What comes out must be what its reader takes for plain text.
 *
 * Input: a byte that says how names end and how long they may be, then the list. */
#include "examples/dfnet/escape.h"
#include "examples/dfnet/inputs.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
    if (!holds)
        __builtin_trap();
}

/* Valid UTF-8 without control characters; also without those that turn the direction of
 * writing, unless `turned`. */
static void check_plain(const char *s, size_t n, int turned)
{
    for (size_t i = 0; i < n;) {
        const unsigned char *c = (const unsigned char *)s + i;
        int length = ex_safe_length(c);
        if (!length && turned && *c == 0xe2)
            length = 3;
        must(length > 0);
        i += (size_t)length;
    }
}

static void check_html(const char *s, size_t n)
{
    static const char *const allowed[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    check_plain(s, n, 0);
    must(!strpbrk(s, "<>\"'"));
    for (const char *c = s; (c = strchr(c, '&')) != NULL; c++) {
        int known = 0;
        for (int i = 0; i < 5; i++)
            known |= !strncmp(c, allowed[i], strlen(allowed[i]));
        must(known);
    }
}

static void check_csv(const char *s, size_t n)
{
    check_plain(s, n, 0);
    must(n >= 2 && s[0] == '"' && s[n - 1] == '"');
    for (size_t i = 1; i + 1 < n; i++)
        if (s[i] == '"')
            must(++i + 1 < n && s[i] == '"');
    const char first = s[1 + strspn(s + 1, " ")];
    must(!strchr("=+-@", first) || !first);
}

static void check_json(const char *s, size_t n)
{
    check_plain(s, n, 1);
    must(n >= 2 && s[0] == '"' && s[n - 1] == '"');
    for (size_t i = 1; i + 1 < n; i++) {
        must(s[i] != '"');
        if (s[i] != '\\')
            continue;
        i++;
        must(i + 1 < n && strchr("\"\\u", s[i]) && s[i]);
        for (int k = 0; s[i] == 'u' && k < 4; k++)
            must(i + 1 + (size_t)k + 1 < n &&
                 isxdigit((unsigned char)s[i + 1 + (size_t)k]));
    }
}

/* A line of a manual page: no byte that ends it, and no backslash but an escape's. */
static void check_roff(const char *s, const char *name)
{
    size_t lines = 0;
    for (const char *c = s; *c; c++) {
        lines += *c == '\n';
        if (*c == '\\')
            must(c[1] == 'e' || c[1] == '-' || !strncmp(c, "\\(aq", 4));
    }
    for (const char *c = name; *c; c++)
        lines -= *c == '\n';
    must(!lines && !strchr(s, '\''));
}

static void check_stem(const char *name)
{
    char small[8], large[64];
    escape_stem(small, sizeof small, name);
    escape_stem(large, sizeof large, name);
    must(*small && *large && *large != '.' && *large != '-');
    for (const char *c = large; *c; c++)
        must(isalnum((unsigned char)*c) || strchr("_-.", *c));
}

/* What `print` writes of name, given to `check`. */
static void written(void (*print)(FILE *, const char *), const char *name,
                    void (*check)(const char *, size_t))
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f)
        return;
    print(f, name);
    if (!fclose(f))
        check(text, n);
    free(text);
}

static const char *roff_name;

static void check_roff_text(const char *s, size_t n)
{
    (void)n;
    check_roff(s, roff_name);
}

static void check_terminal(const char *s, size_t n)
{
    check_plain(s, n, 0);
}

static void all(const char *name)
{
    roff_name = name;
    written(escape_html, name, check_html);
    written(escape_csv, name, check_csv);
    written(ex_print_json, name, check_json);
    written(ex_print_text, name, check_terminal);
    written(escape_roff, name, check_roff_text);
    check_stem(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[128];
    if (size < 2)
        return 0;
    const int end = data[0] & 1 ? 0 : '\n';
    const size_t cap = (size_t)(data[0] >> 1) + 1;
    FILE *f = fmemopen((void *)(uintptr_t)(data + 1), size - 1, "rb");
    if (!f)
        return 0;
    size_t names = 0;
    for (int got; (got = inputs_next(f, end, name, cap)) != 0; names++) {
        must(got == 1 || got == -1);
        must(memchr(name, 0, cap) && (got < 0 || !strchr(name, end) || !end));
        all(name);
    }
    fclose(f);
    must(names <= size);
    return 0;
}
