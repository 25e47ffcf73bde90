// The frame of a page, and what goes safely into it.
#include "inference/report/html.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light dark;--text:#1b1f24;--dim:#57606a;--line:#d0d7de;--page:#fff;"
    "--card:#f6f8fa;--good:#1a7f37;--bad:#cf222e;--warn:#9a6700;--mark:#0969da}"
    "@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--dim:#9da7b3;--line:#3d444d;"
    "--page:#0d1117;--card:#161b22;--good:#3fb950;--bad:#f85149;--warn:#d29922;--mark:#4493f8}}"
    "body{font:16px/1.5 system-ui,sans-serif;color:var(--text);background:var(--page);margin:0 "
    "auto;"
    "max-width:72rem;padding:1rem 1.5rem 4rem}h1{font-size:1.6rem;margin:.5rem 0}"
    "h2{font-size:1.25rem;margin:2.5rem 0 .5rem;border-bottom:1px solid var(--line)}"
    "p{max-width:48rem}.dim{color:var(--dim)}.good{color:var(--good)}.bad{color:var(--bad)}"
    ".scroll{overflow-x:auto}.one-line{white-space:nowrap}table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{padding:.25rem .7rem;border-bottom:1px solid var(--line);text-align:right}"
    "th:first-child,td:first-child{text-align:left}thead th{border-bottom:2px solid var(--line)}"
    "tfoot td,tfoot th{font-weight:600}"
    ".cards{display:flex;flex-wrap:wrap;gap:1rem;margin:1rem 0}.card{background:var(--card);"
    "border:1px solid var(--line);border-radius:.5rem;padding:.7rem 1.1rem;min-width:9rem}"
    ".card b{display:block;font-size:1.6rem;line-height:1.3}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(19rem,1fr));gap:1.2rem}"
    ".pairs{display:grid;grid-template-columns:1fr 1fr;gap:1rem;margin:1rem 0}"
    "figure{margin:0}figcaption{font-size:.9rem;color:var(--dim)}svg{max-width:100%;height:auto;"
    "display:block}svg text{fill:var(--text)}svg.on-picture text{fill:#fff}"
    ".axis{stroke:var(--line);fill:none}.curve{stroke:var(--mark);fill:none;stroke-width:2}"
    ".matrix td{text-align:center;min-width:2rem}.matrix td.same{outline:1px solid var(--line)}"
    "@media print{body{max-width:none}figure,tr{break-inside:avoid}}";

void html_begin(FILE *out, const char *title)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "img-src data:; style-src 'unsafe-inline'\">\n<title>",
          out);
    html_text(out, title);
    fprintf(out, "</title>\n<style>%s</style>\n</head>\n<body>\n<main>\n<h1>", style);
    html_text(out, title);
    fputs("</h1>\n", out);
}

void html_end(FILE *out)
{
    fputs("</main>\n</body>\n</html>\n", out);
}

// Bytes of the UTF-8 character at `s`, or 0 if it is none (RFC 3629).
static size_t utf8_length(const unsigned char *s)
{
    const size_t length = *s < 0x80                 ? 1
                          : *s >= 0xc2 && *s < 0xe0 ? 2
                          : *s >= 0xe0 && *s < 0xf0 ? 3
                          : *s >= 0xf0 && *s < 0xf5 ? 4
                                                    : 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    const bool wrong = (*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] >= 0xa0) ||
                       (*s == 0xf0 && s[1] < 0x90) || (*s == 0xf4 && s[1] >= 0x90);
    return wrong ? 0 : length;
}

static bool is_control(const unsigned char *s, size_t length)
{
    return *s < 0x20 || *s == 0x7f || (length == 2 && s[0] == 0xc2 && s[1] < 0xa0);
}

void html_text(FILE *out, const char *text)
{
    static const char special[] = "<>&\"'";
    static const char *const escaped[] = {"&lt;", "&gt;", "&amp;", "&quot;", "&#39;"};
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        const size_t length = utf8_length(s);
        const char *at = strchr(special, *s);
        if (at)
            fputs(escaped[at - special], out);
        else if (length == 0 || is_control(s, length))
            fputs("\xef\xbf\xbd", out);
        else
            fwrite(s, 1, length, out);
        s += length ? length : 1;
    }
}

void html_name(FILE *out, const char *name)
{
    fputs("<bdi>", out);
    html_text(out, name);
    fputs("</bdi>", out);
}

void html_base64(FILE *out, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        const size_t left = size - i;
        const uint32_t v = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                           (left > 2 ? bytes[i + 2] : 0);
        const char four[] = {digits[v >> 18], digits[v >> 12 & 63],
                             left > 1 ? digits[v >> 6 & 63] : '=', left > 2 ? digits[v & 63] : '='};
        fwrite(four, 1, 4, out);
    }
}

void html_percent_cell(FILE *out, double share)
{
    if (isfinite(share))
        fprintf(out, "<td>%.2f</td>", 100 * share);
    else
        fputs("<td class=\"dim\">–</td>", out);
}
