// Strict YAML: what is refused and with which words, and that what is accepted is loaded.
#include "config/yaml.h"

#include <errno.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum colour { RED = 1, GREEN = 2 };

struct child {
    char *name;
    uint16_t port;
};

struct root {
    uint32_t schema;
    int32_t offset;
    int64_t big;
    double ratio;
    float gain;
    bool on;
    enum colour colour;
    char *text;
    struct child *children;
    uint32_t children_count;
    float pair[2];
    struct child *extra;
    float *scales;
    uint32_t scales_count;
};

static const cyaml_strval_t colours[] = {{"red", RED}, {"green", GREEN}};

static const cyaml_schema_field_t child_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct child, name, 1, CYAML_UNLIMITED),
    CYAML_FIELD_UINT("port", CYAML_FLAG_OPTIONAL, struct child, port),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t child_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct child, child_fields)};
static const cyaml_schema_value_t float_value = {CYAML_VALUE_FLOAT(CYAML_FLAG_DEFAULT, float)};

static const cyaml_schema_field_t root_fields[] = {
    CYAML_FIELD_UINT("schema", CYAML_FLAG_DEFAULT, struct root, schema),
    CYAML_FIELD_INT("offset", CYAML_FLAG_OPTIONAL, struct root, offset),
    CYAML_FIELD_INT("big", CYAML_FLAG_OPTIONAL, struct root, big),
    CYAML_FIELD_FLOAT("ratio", CYAML_FLAG_OPTIONAL, struct root, ratio),
    CYAML_FIELD_FLOAT("gain", CYAML_FLAG_OPTIONAL, struct root, gain),
    CYAML_FIELD_BOOL("on", CYAML_FLAG_OPTIONAL, struct root, on),
    CYAML_FIELD_ENUM("colour", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct root, colour,
                     colours, 2),
    CYAML_FIELD_STRING_PTR("text", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, struct root, text, 0,
                           CYAML_UNLIMITED),
    CYAML_FIELD_SEQUENCE("children", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, struct root,
                         children, &child_value, 1, 3),
    CYAML_FIELD_SEQUENCE_FIXED("pair", CYAML_FLAG_OPTIONAL, struct root, pair, &float_value, 2),
    CYAML_FIELD_MAPPING_PTR("extra", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER_NULL, struct root,
                            extra, child_fields),
    CYAML_FIELD_SEQUENCE("scales", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, struct root, scales,
                         &float_value, 0, CYAML_UNLIMITED),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t root_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct root, root_fields)};
static const struct sl_yaml_range ranges[] = {
    {"schema", 1, 1},           {"ratio", 0, 1},   {"children[].port", 1, 65535},
    {"children[].name", 0, 16}, {"pair[]", -1, 1}, {NULL, 0, 0},
};
static const struct sl_yaml_schema schema = {&root_value, ranges};

static struct root *load(const char *text)
{
    struct sl_yaml_error error = {""};
    void *data = NULL;
    int status = sl_yaml_load("f.yaml", text, strlen(text), &schema, &data, &error);
    if (status) {
        fail_msg("refused: %s", error.message);
    }
    assert_string_equal(error.message, "");
    return data;
}

static void refuse_bytes(const char *text, size_t size, const char *message)
{
    struct sl_yaml_error error = {""};
    void *data = &error;
    assert_int_equal(sl_yaml_load("f.yaml", text, size, &schema, &data, &error), -EINVAL);
    assert_string_equal(error.message, message);
    assert_ptr_equal(data, &error);
}

static void refuse(const char *text, const char *message)
{
    refuse_bytes(text, strlen(text), message);
}

static void test_everything_is_loaded(void **state)
{
    (void)state;
    struct root *r = load("# comment\n"
                          "schema: 1\n"
                          "offset: -12\n"
                          "big: 493600000000\n"
                          "ratio: 0.25\n"
                          "gain: 1e-3\n"
                          "on: true\n"
                          "colour: green\n"
                          "text: \"a: 'b'\"\n"
                          "children:\n"
                          "  - {name: one, port: 8883}\n"
                          "  - name: zwölf\n"
                          "pair: [-1, .5]\n"
                          "extra: {name: x}\n"
                          "scales: []\n");
    assert_int_equal(r->schema, 1);
    assert_int_equal(r->offset, -12);
    assert_true(r->big == 493600000000);
    assert_true(r->ratio == 0.25 && r->gain == 1e-3f && r->on);
    assert_int_equal(r->colour, GREEN);
    assert_string_equal(r->text, "a: 'b'");
    assert_int_equal(r->children_count, 2);
    assert_string_equal(r->children[0].name, "one");
    assert_int_equal(r->children[0].port, 8883);
    assert_string_equal(r->children[1].name, "zwölf");
    assert_int_equal(r->children[1].port, 0);
    assert_true(r->pair[0] == -1 && r->pair[1] == 0.5f);
    assert_string_equal(r->extra->name, "x");
    assert_int_equal(r->scales_count, 0);
    sl_yaml_free(&schema, r);
}

static void test_optional_keys_may_be_absent(void **state)
{
    (void)state;
    struct root *r = load("---\nschema: 1\nextra:\n...\n");
    assert_null(r->text);
    assert_null(r->extra);
    assert_null(r->children);
    sl_yaml_free(&schema, r);
}

static void test_numbers_do_not_follow_the_locale(void **state)
{
    (void)state;
    static const char *const commas[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8"};
    for (size_t i = 0; i < 3 && !setlocale(LC_NUMERIC, commas[i]); i++) {
    }
    struct root *r = load("schema: 1\nratio: 0.5\n");
    assert_true(r->ratio == 0.5);
    setlocale(LC_NUMERIC, "C");
    sl_yaml_free(&schema, r);
}

static void test_extreme_numbers_are_loaded(void **state)
{
    (void)state;
    struct root *r = load("schema: 1\noffset: -2147483648\nscales: [3.4e38, -0, 1.e2]\n");
    assert_int_equal(r->offset, INT32_MIN);
    assert_true(r->scales[0] == 3.4e38f && r->scales[2] == 100);
    sl_yaml_free(&schema, r);
    r = load("schema: 1\noffset: 2147483647\nbig: 9223372036854775807\n");
    assert_int_equal(r->offset, INT32_MAX);
    assert_true(r->big == INT64_MAX);
    sl_yaml_free(&schema, r);
}

static void test_unknown_keys(void **state)
{
    (void)state;
    refuse("schema: 1\nrtaio: 0.5\n", "f.yaml:2: rtaio: unknown key; did you mean 'ratio'?");
    refuse("schema: 1\nchildren:\n  - name: a\n  - name: b\n    prot: 3\n",
           "f.yaml:5: children[1].prot: unknown key; did you mean 'port'?");
    refuse("schema: 1\nchildren: [{zzzzzzzz: 1}]\n",
           "f.yaml:2: children[0].zzzzzzzz: unknown key; expected one of name, port");
    refuse("schema: 1\n<<: {ratio: 1}\n",
           "f.yaml:2: <<: unknown key; expected one of schema, offset, big, ratio, gain, on, "
           "colour, text, children, pair, extra, scales");
    refuse("schema: 1\n\"a\\tb\\0ratio\": 1\n",
           "f.yaml:2: a?b?ratio: unknown key; expected one of "
           "schema, offset, big, ratio, gain, on, colour, text, children, pair, extra, scales");
}

static void test_missing_and_repeated_keys(void **state)
{
    (void)state;
    refuse("ratio: 0.5\n",
           "f.yaml:1: schema: expected a whole number from 1 to 1, found no such key");
    refuse("schema: 1\nchildren:\n  - name: a\n  - port: 3\n",
           "f.yaml:4: children[1].name: expected text of 1 to 16 bytes, found no such key");
    refuse("schema: 1\nratio: 0.5\nschema: 1\n",
           "f.yaml:3: schema: key given twice, first on line 1");
}

static void test_wrong_types(void **state)
{
    (void)state;
    refuse("schema: one\n", "f.yaml:1: schema: expected a whole number from 1 to 1, found 'one'");
    refuse("schema: \"1\"\n",
           "f.yaml:1: schema: expected a whole number from 1 to 1, found the quoted text '1'");
    refuse("schema: {a: 1}\n",
           "f.yaml:1: schema: expected a whole number from 1 to 1, found a mapping");
    refuse("schema: 1\nratio: [1]\n",
           "f.yaml:2: ratio: expected a number from 0 to 1, found a list");
    refuse("schema: 1\nratio:\n", "f.yaml:2: ratio: expected a number from 0 to 1, found nothing");
    refuse("schema: 1\non: yes\n", "f.yaml:2: on: expected true or false, found 'yes'");
    refuse("schema: 1\ntext: null\n", "f.yaml:2: text: expected text, found nothing");
    refuse("schema: 1\nchildren: 5\n", "f.yaml:2: children: expected a list of 1 to 3, found '5'");
    refuse("schema: 1\nextra: null\n", "f.yaml:2: extra: expected a mapping, found nothing");
    refuse("schema: 1\n? [a]\n: 1\n", "f.yaml:2: expected a key, found a list");
    refuse("- 1\n", "f.yaml:1: expected a mapping, found a list");
    refuse("", "f.yaml:1: expected a mapping, found nothing");
    refuse("# only a comment\n", "f.yaml:2: expected a mapping, found nothing");
}

static void test_enumerations(void **state)
{
    (void)state;
    refuse("schema: 1\ncolour: blue\n",
           "f.yaml:2: colour: expected one of red, green; found 'blue'");
    refuse("schema: 1\ncolour: 1\n", "f.yaml:2: colour: expected one of red, green; found '1'");
    refuse("schema: 1\ncolour: Red\n", "f.yaml:2: colour: expected one of red, green; found 'Red'");
}

static void test_numbers_out_of_range(void **state)
{
    (void)state;
    refuse("schema: 2\n", "f.yaml:1: schema: expected a whole number from 1 to 1, found '2'");
    refuse("schema: 1\nratio: 1.01\n",
           "f.yaml:2: ratio: expected a number from 0 to 1, found '1.01'");
    refuse("schema: 1\nchildren: [{name: a, port: 0}]\n",
           "f.yaml:2: children[0].port: expected a whole number from 1 to 65535, found '0'");
    refuse("schema: 1\nextra: {name: a, port: 70000}\n",
           "f.yaml:2: extra.port: expected a whole number from 0 to 65535, found '70000'");
    refuse("schema: 1\nextra: {name: a, port: -1}\n",
           "f.yaml:2: extra.port: expected a whole number from 0 to 65535, found '-1'");
    refuse("schema: 1\nbig: 99999999999999999999\n",
           "f.yaml:2: big: expected a whole number from -9.22337203685478e+18 to "
           "9.22337203685478e+18, found '99999999999999999999'");
    refuse("schema: 1\npair: [0, 1.5]\n",
           "f.yaml:2: pair[1]: expected a number from -1 to 1, found '1.5'");
}

static void test_numbers_that_other_readers_take_otherwise(void **state)
{
    (void)state;
    refuse("schema: 1\nextra: {name: a, port: 010}\n",
           "f.yaml:2: extra.port: expected a whole number from 0 to 65535, found '010'");
    refuse("schema: 1\nextra: {name: a, port: 0x10}\n",
           "f.yaml:2: extra.port: expected a whole number from 0 to 65535, found '0x10'");
    refuse("schema: 1\nextra: {name: a, port: 1.0}\n",
           "f.yaml:2: extra.port: expected a whole number from 0 to 65535, found '1.0'");
    refuse("schema: 1\ngain: nan\n", "f.yaml:2: gain: expected a number, found 'nan'");
    refuse("schema: 1\ngain: .inf\n", "f.yaml:2: gain: expected a number, found '.inf'");
    refuse("schema: 1\ngain: 0x1p3\n", "f.yaml:2: gain: expected a number, found '0x1p3'");
    refuse("schema: 1\ngain: 1e39\n", "f.yaml:2: gain: expected a number, found '1e39'");
    refuse("schema: 1\ngain: 1e\n", "f.yaml:2: gain: expected a number, found '1e'");
    refuse("schema: 1\ngain: .\n", "f.yaml:2: gain: expected a number, found '.'");
    refuse("schema: 1\ngain: 0,5\n", "f.yaml:2: gain: expected a number, found '0,5'");
    refuse("schema: 1\ngain: -\n", "f.yaml:2: not valid YAML: block sequence entries are not "
                                   "allowed in this context");
}

static void test_lengths(void **state)
{
    (void)state;
    refuse("schema: 1\nchildren: []\n", "f.yaml:2: children: expected a list of 1 to 3, found 0");
    refuse("schema: 1\nchildren:\n - {name: a}\n - {name: a}\n - {name: a}\n - {name: a}\n",
           "f.yaml:3: children: expected a list of 1 to 3, found more than 3");
    refuse("schema: 1\npair: [1]\n", "f.yaml:2: pair: expected a list of 2, found 1");
    refuse("schema: 1\npair: [1, 1, 1]\n",
           "f.yaml:2: pair: expected a list of 2, found more than 2");
    refuse("schema: 1\nchildren: [{name: abcdefghijklmnopq}]\n",
           "f.yaml:2: children[0].name: expected text of 1 to 16 bytes, found "
           "'abcdefghijklmnopq'");
    refuse("schema: 1\nextra: {name: ''}\n",
           "f.yaml:2: extra.name: expected text that is not empty, found the quoted text ''");
}

static void test_what_yaml_allows_and_we_do_not(void **state)
{
    (void)state;
    refuse("schema: 1\ntext: &a b\n",
           "f.yaml:2: text: anchors and aliases are not allowed, found 'a'");
    refuse("schema: &n 1\n", "f.yaml:1: schema: anchors and aliases are not allowed, found 'n'");
    refuse("schema: 1\ntext: *a\n",
           "f.yaml:2: text: anchors and aliases are not allowed, found 'a'");
    refuse("schema: 1\ntext: !!str 5\n",
           "f.yaml:2: text: tags are not allowed, found 'tag:yaml.org,2002:str'");
    refuse("schema: 1\n---\nschema: 1\n", "f.yaml:2: expected one document, found a second");
    refuse("schema: 1\ntext: \"a\\0b\"\n", "f.yaml:2: text: a NUL character is not allowed");
}

static void test_syntax_errors(void **state)
{
    (void)state;
    refuse("schema: 1\nchildren: [a\n", "f.yaml:2: children[0]: expected a mapping, found 'a'");
    refuse("schema: 1\npair: [1\n",
           "f.yaml:3: not valid YAML: did not find expected ',' or ']' (while parsing a "
           "flow sequence from line 2)");
    refuse("schema: 1\n\tratio: 1\n",
           "f.yaml:2: not valid YAML: found a tab character that violates indentation (while "
           "scanning a plain scalar from line 1)");
}

static void test_bytes_that_are_not_text(void **state)
{
    (void)state;
    refuse_bytes("schema: 1\ntext: a\0b\n", 19,
                 "f.yaml:2: expected UTF-8 text, found the byte 0x00");
    refuse("schema: 1\ntext: \xC3(\n", "f.yaml:2: expected UTF-8 text, found the byte 0xC3");
    refuse("schema: 1\n\ntext: \xED\xA0\x80\n",
           "f.yaml:3: expected UTF-8 text, found the byte 0xED");
    refuse("text: \xC0\xAF\n", "f.yaml:1: expected UTF-8 text, found the byte 0xC0");
    refuse("text: \xF5\x80\x80\x80\n", "f.yaml:1: expected UTF-8 text, found the byte 0xF5");
    refuse("text: \x1b[31m\n", "f.yaml:1: expected UTF-8 text, found the byte 0x1B");
    refuse_bytes("\xFF\xFEs\0", 4, "f.yaml:1: expected UTF-8 text, found the byte 0xFF");
}

static void test_size_and_depth_are_bounded(void **state)
{
    (void)state;
    size_t size = (1u << 20) + 1;
    char *text = malloc(size + 1);
    assert_non_null(text);
    memset(text, ' ', size);
    text[size] = '\0';
    refuse_bytes(text, size, "f.yaml: expected at most 1048576 bytes, found 1048577");
    memset(text, '[', size - 1);
    refuse_bytes(text, size - 1, "f.yaml:1: expected a mapping, found a list");
    memcpy(text, "schema: 1\ntext: ", 16);
    refuse_bytes(text, size - 1, "f.yaml:2: text: expected text, found a list");
    free(text);
}

struct nest {
    struct nest *inner;
};
static const cyaml_schema_field_t nest_fields[] = {
    CYAML_FIELD_MAPPING_PTR("a", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct nest, inner,
                            nest_fields),
    CYAML_FIELD_END,
};

static void test_a_schema_that_contains_itself_is_bounded(void **state)
{
    (void)state;
    static const cyaml_schema_value_t value = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct nest, nest_fields)};
    static const struct sl_yaml_schema nest = {&value, NULL};
    char text[1024] = "";
    for (int i = 0; i < 70; i++) {
        strcat(text, "{a: ");
    }
    struct sl_yaml_error error = {""};
    void *data = NULL;
    assert_int_equal(sl_yaml_load("n", text, strlen(text), &nest, &data, &error), -EINVAL);
    assert_non_null(strstr(error.message, "nested deeper than 64 levels"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_loaded),
        cmocka_unit_test(test_optional_keys_may_be_absent),
        cmocka_unit_test(test_numbers_do_not_follow_the_locale),
        cmocka_unit_test(test_extreme_numbers_are_loaded),
        cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_missing_and_repeated_keys),
        cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_enumerations),
        cmocka_unit_test(test_numbers_out_of_range),
        cmocka_unit_test(test_numbers_that_other_readers_take_otherwise),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_what_yaml_allows_and_we_do_not),
        cmocka_unit_test(test_syntax_errors),
        cmocka_unit_test(test_bytes_that_are_not_text),
        cmocka_unit_test(test_size_and_depth_are_bounded),
        cmocka_unit_test(test_a_schema_that_contains_itself_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
