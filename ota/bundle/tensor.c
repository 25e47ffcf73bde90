// The input tensor as text.
#include "ota/bundle/tensor.h"

#include <stdio.h>
#include <string.h>

static const char *const elements[] = {"float32", "uint8", "int8"};
static const char *const layouts[] = {"nchw", "nhwc"};

// Which of the names stands at *text, from 1, and moves on behind the colon; 0: none.
static uint8_t take_one(const char **text, const char *const *names, unsigned count)
{
    const size_t length = strcspn(*text, ":");
    const char *word = *text;
    *text += length + (word[length] == ':');
    for (unsigned i = 0; i < count && word[length] == ':'; i++)
        if (strlen(names[i]) == length && !strncmp(names[i], word, length))
            return (uint8_t)(i + 1);
    return 0;
}

// 1 to UINT32_MAX in decimal digits; 0: something else.
static uint32_t take_dim(const char **text)
{
    uint64_t dim = 0;
    size_t digits = strspn(*text, "0123456789");
    if (digits == 0 || digits > 10 || **text == '0')
        return 0;
    for (; digits > 0; digits--, ++*text)
        dim = dim * 10 + (uint64_t)(**text - '0');
    return dim <= UINT32_MAX ? (uint32_t)dim : 0;
}

bool sl_tensor_parse(const char *text, struct sl_tensor_abi *out)
{
    struct sl_tensor_abi t = {0};
    t.element = take_one(&text, elements, 3);
    t.layout = take_one(&text, layouts, 2);
    do {
        if (t.rank == SL_RANK_MAX || (t.dims[t.rank++] = take_dim(&text)) == 0)
            return false;
    } while (*text++ == 'x');
    if (t.element == 0 || t.layout == 0 || text[-1] != '\0')
        return false;
    *out = t;
    return true;
}

void sl_tensor_text(const struct sl_tensor_abi *t, char out[SL_TENSOR_TEXT])
{
    size_t n = (size_t)snprintf(out, SL_TENSOR_TEXT, "%s:%s:", elements[t->element - 1],
                                layouts[t->layout - 1]);
    for (uint8_t i = 0; i < t->rank; i++)
        n += (size_t)snprintf(out + n, SL_TENSOR_TEXT - n, "%s%u", i ? "x" : "", t->dims[i]);
}
