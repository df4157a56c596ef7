/* escape.c - see escape.h. */
#include "examples/dfnet/escape.h"

#include "examples/common.h"

#include <string.h>

void escape_html(FILE *f, const char *s)
{
    for (const unsigned char *c = (const unsigned char *)s; *c;) {
        const int n = ex_safe_length(c);
        if (!n)
            fputs("\xef\xbf\xbd", f);
        else if (*c == '&')
            fputs("&amp;", f);
        else if (*c == '<')
            fputs("&lt;", f);
        else if (*c == '>')
            fputs("&gt;", f);
        else if (*c == '"')
            fputs("&quot;", f);
        else if (*c == '\'')
            fputs("&#39;", f);
        else
            fwrite(c, 1, (size_t)n, f);
        c += n ? n : 1;
    }
}

void escape_csv(FILE *f, const char *s)
{
    fputc('"', f);
    /* What spreadsheets take for a formula, blanks in front or not; see OWASP, "CSV
     * injection". Tab and carriage return count although they are replaced below. */
    if (s[strspn(s, " ")] && strchr("=+-@\t\r\n", s[strspn(s, " ")]))
        fputc('\'', f);
    for (const unsigned char *c = (const unsigned char *)s; *c;) {
        const int n = ex_safe_length(c);
        if (!n)
            fputc('?', f);
        else if (*c == '"')
            fputs("\"\"", f);
        else
            fwrite(c, 1, (size_t)n, f);
        c += n ? n : 1;
    }
    fputc('"', f);
}

void escape_roff(FILE *f, const char *s)
{
    for (; *s; s++) {
        if (*s == '\\')
            fputs("\\e", f);
        else if (*s == '-')
            fputs("\\-", f);
        else if (*s == '\'')
            fputs("\\(aq", f);
        else
            fputc(*s, f);
    }
}

void escape_stem(char *out, size_t cap, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    const size_t length = dot && dot != name ? (size_t)(dot - name) : strlen(name);
    size_t n = 0;
    for (; n < length && n + 1 < cap; n++) {
        const char c = name[n];
        const int fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         (c >= '0' && c <= '9') || c == '_' || (n && strchr("-.", c));
        out[n] = fine ? c : '_';
    }
    out[n] = 0;
    if (!n)
        snprintf(out, cap, "picture");
}
