// Labels as Pascal VOC's XML and as COCO's file of instances: what is read, and what is refused
// with its place.
#include "inference/dataset_impl.h"
#include "inference/json_stream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct sl_class classes[] = {{"dog", 0.5f}, {"traffic-light", 0.5f}};
static const struct label_context context = {"a.xml", classes, 2, 640, 480};

static int read_voc(const char *text, struct sl_truth *out, struct sl_error *error)
{
    static struct sl_label rows[MOST_LABELS];
    *out = (struct sl_truth){0, rows};
    return labels_of_voc(&context, text, strlen(text), out, error);
}

#define OBJECT(name, box) "<object><name>" name "</name><bndbox>" box "</bndbox></object>"
#define BOX(a, b, c, d)   "<xmin>" a "</xmin><ymin>" b "</ymin><xmax>" c "</xmax><ymax>" d "</ymax>"

static void voc_is_read(void **state)
{
    (void)state;
    struct sl_truth t;
    const char *text =
        "<?xml version=\"1.0\"?>\n<annotation><filename>x.png</filename>\n"
        "<size><width>640</width><height>480</height><depth>3</depth></size>\n"
        "<object><name> Dog </name><pose>Left</pose><truncated>1</truncated>"
        "<difficult>1</difficult><bndbox>" BOX(
            "1", "2", "10",
            "20.5") "</bndbox>"
                    "<part><name>head</name><bndbox>" BOX(
                        "0", "0", "0",
                        "0") "</bndbox></part></object>\n" OBJECT("traffic light",
                                                                  BOX(" 5 ", "5", "5",
                                                                      "5")) "</annotation>\n";
    assert_int_equal(read_voc(text, &t, NULL), 0);
    assert_int_equal(t.count, 2);
    assert_float_equal(t.rows[0].box.x1, 0, 0); // pixels count from 1, the last one belongs to it
    assert_float_equal(t.rows[0].box.y1, 1, 0);
    assert_float_equal(t.rows[0].box.x2, 10, 0);
    assert_float_equal(t.rows[0].box.y2, 20.5, 0);
    assert_int_equal(t.rows[0].use, SL_LABEL_IGNORED);
    assert_int_equal(t.rows[1].box.class_id, 1);
    assert_int_equal(t.rows[1].use, SL_LABEL_COUNTS);
    assert_float_equal(t.rows[1].area_px, 1, 0); // one pixel
}

static void voc_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "a.xml:1: not XML"},
        {"<annotation>\n<object>", "a.xml:2: not XML"},
        {"\n<html/>", "a.xml:2: expected <annotation>, found <html>"},
        {"<!DOCTYPE a [<!ENTITY b \"bbbb\">]><annotation>&b;</annotation>", "document type"},
        {"<annotation>" OBJECT("cat", BOX("1", "1", "2", "2")) "</annotation>",
         "a.xml:1: expected one of the model's 2 classes in <name>, found 'cat'"},
        {"<annotation>\n" OBJECT("dog",
                                 "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>") "</annotation>",
         "a.xml:2: an object without <bndbox> or one of its"},
        {"<annotation>" OBJECT("dog", BOX("1", "1", "x", "2")) "</annotation>",
         "<annotation/object/bndbox/xmax>: expected a number, found 'x'"},
        {"<annotation>" OBJECT("dog", BOX("1", "1", "nan", "2")) "</annotation>", "found 'nan'"},
        {"<annotation>" OBJECT("dog", BOX("1", "1", "1e9", "2")) "</annotation>", "found '1e9'"},
        {"<annotation>" OBJECT("dog", BOX("5", "1", "4", "2")) "</annotation>",
         "expected xmin <= xmax and ymin <= ymax, found 5, 4, 1, 2"},
        {"<annotation><size><width>64</width><height>48</height></size></annotation>",
         "expected a picture of 64 x 48, found one of 640 x 480"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_error error = {""};
        struct sl_truth t;
        assert_true(read_voc(cases[i].text, &t, &error) < 0);
        if (!strstr(error.message, cases[i].message))
            fail_msg("'%s' without '%s'", error.message, cases[i].message);
    }
}

static void deep_and_many_elements_are_refused(void **state)
{
    (void)state;
    enum { DEEP = 2000 };
    struct sl_error error = {""};
    struct sl_truth t;
    char *text = malloc(MOST_LABELS * 200), *at = text;
    assert_non_null(text);
    at += sprintf(at, "<annotation>");
    for (int i = 0; i < DEEP; i++)
        at += sprintf(at, "<abcdefgh>");
    assert_int_equal(read_voc(text, &t, &error), -EINVAL);
    assert_non_null(strstr(error.message, "too deep"));
    at = text + sprintf(text, "<annotation>");
    for (int i = 0; i <= MOST_LABELS; i++)
        at += sprintf(at, OBJECT("dog", BOX("1", "1", "2", "2")));
    assert_int_equal(read_voc(text, &t, &error), -E2BIG);
    free(text);
}

static int read_coco(const char *text, struct sl_coco **out, struct sl_error *error)
{
    FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    assert_non_null(file);
    const int status = coco_read("i.json", file, out, error);
    fclose(file);
    return status;
}

#define PICTURES    "\"images\":[{\"id\":7,\"file_name\":\"b.jpg\",\"width\":640,\"height\":480}]"
#define CATEGORIES  "\"categories\":[{\"id\":3,\"name\":\"Dog\"},{\"id\":90,\"name\":\"cat\"}]"
#define ONE(text)   "{" PICTURES "," CATEGORIES ",\n\"annotations\":[\n" text "]}"
#define LABEL(more) "{\"image_id\":7,\"category_id\":3,\"bbox\":[1,2,30,40]" more "}"

static void coco_is_read(void **state)
{
    (void)state;
    struct sl_coco *c;
    const struct coco_picture *pictures;
    static struct sl_label rows[MOST_LABELS];
    struct sl_truth t = {0, rows};
    // Annotations may come before what they name; what is not known is passed over.
    const char *text =
        "{\"info\": {\"x\": [1, [2, {\"y\": null}]], \"annotations\": 1},\n"
        "\"annotations\": [" LABEL(",\"segmentation\":[[1,2,3]],\"area\":700.5") "," LABEL(
            ",\"iscrowd\":1,\"segmentation\":{\"counts\":\"a\\\"b\"}") "],\n"
                                                                       "\"images\":[{\"file_name\":"
                                                                       "\"\\u00e9\\ud83d\\ude00\\n."
                                                                       "jpg\",\"id\":8}, "
                                                                       "{\"id\":7,\"file_name\":"
                                                                       "\"b.jpg\",\"width\":640,"
                                                                       "\"height\":480,\"width2\":"
                                                                       "1}]," CATEGORIES "}\n";
    assert_int_equal(read_coco(text, &c, NULL), 0);
    assert_int_equal(coco_pictures(c, &pictures), 2);
    assert_int_equal(pictures[0].id, 7);
    assert_string_equal(pictures[1].file_name, "\xc3\xa9\xf0\x9f\x98\x80\n.jpg");
    assert_int_equal(coco_labels(c, 0, &context, &t, NULL), 0);
    assert_int_equal(t.count, 2);
    assert_float_equal(t.rows[0].box.x2, 31, 0);
    assert_float_equal(t.rows[0].box.y2, 42, 0);
    assert_float_equal(t.rows[0].area_px, 700.5, 0);
    assert_int_equal(t.rows[0].use, SL_LABEL_COUNTS);
    assert_int_equal(t.rows[1].use, SL_LABEL_CROWD);
    assert_float_equal(t.rows[1].area_px, 1200, 0);
    t.count = 0;
    assert_int_equal(coco_labels(c, 1, &context, &t, NULL), 0);
    assert_int_equal(t.count, 0);
    const struct label_context small = {"b.jpg", classes, 2, 320, 240};
    struct sl_error error = {""};
    assert_int_equal(coco_labels(c, 0, &small, &t, &error), -EINVAL);
    assert_non_null(
        strstr(error.message, "expected a picture of 640 x 480, found one of 320 x 240"));
    coco_free(c);
}

static void coco_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "i.json:1: expected a value, found the end of the file"},
        {"[]", "i.json: expected an object with 'images'"},
        {"{}", "i.json: no 'images': not a file of COCO instances"},
        {"{\"images\":[],\"annotations\":[]}", "no 'categories'"},
        {"{\"images\":{}}", "i.json:1: images: expected a list, found an object"},
        {"{\"images\":[],\"images\":[]}", "'images' is there twice"},
        {"{\"images\":[\n{\"id\":1}]}", "i.json:2: images[0]: no 'file_name'"},
        {"{\"images\":[{\"id\":1.5}]}", "images[0].id: expected a whole number, found 1.5"},
        {"{\"images\":[{\"id\":\"1\"}]}", "images[0].id: expected a whole number, found '1'"},
        {"{\"images\":[{\"file_name\":\"\"}]}", "images[0].file_name: expected a text"},
        {"{\"images\":[{\"file_name\":\"a\\u0000\"}]}", "\\u0000 is not a character"},
        {"{\"images\":[{\"file_name\":\"\\ud800x\"}]}", "without its pair"},
        {"{\"images\":[3]}", "images[0]: expected an object, found a number"},
        {"{\"images\":[{\"id\":1,\"file_name\":\"a\"},{\"id\":1,\"file_name\":\"b\"}],"
         "\"annotations\":[]," CATEGORIES "}",
         "images: id 1 is there twice"},
        {ONE(LABEL("") ",\n"
                       "{\"image_id\":7}"),
         "i.json:4: annotations[1]: no 'category_id'"},
        {ONE("{\"bbox\":[1,2,3]}"),
         "annotations[0].bbox: expected a size of at least 0, found an end"},
        {ONE("{\"bbox\":[1,2,3,-4]}"),
         "annotations[0].bbox: expected a size of at least 0, found -4"},
        {ONE("{\"bbox\":[1,2,3,4,5]}"), "annotations[0].bbox: expected four numbers, found 5"},
        {ONE("{\"bbox\":[1,null]}"), "annotations[0].bbox: expected a coordinate, found null"},
        {ONE("{\"bbox\":7}"), "annotations[0].bbox: expected [x, y, width, height], found 7"},
        {ONE("{\"iscrowd\":2}"), "annotations[0].iscrowd: expected 0 or 1, found 2"},
        {ONE("{\"area\":-1}"), "annotations[0].area: expected an area of at least 0, found -1"},
        {ONE("{\"image_id\":8,\"category_id\":3,\"bbox\":[1,2,3,4]}"),
         "annotations[0].image_id: expected the id of one of the 1 images, found 8"},
        {ONE("{\"image_id\":7,\"category_id\":4,\"bbox\":[1,2,3,4]}"),
         "annotations[0].category_id: expected the id of one of the 2 categories, found 4"},
        {ONE(LABEL("")) "x", "i.json:3: expected the end of the file, found 'x'"},
        {"{\"images\":[1,]}", "found a number"},
        {"{\"a\":[1,]}", "expected a value, found ']'"},
        {"{\"a\":1,}", "expected a key, found '}'"},
        {"{\"a\" 1}", "expected ':', found '1'"},
        {"{\"a\":01}", "expected a number, found '01'"},
        {"{\"a\":1e999}", "expected a number, found '1e999'"},
        {"{\"a\":+1}", "expected a value, found '+'"},
        {"{\"a\":.5}", "expected a value, found '.'"},
        {"{\"a\":nul}", "expected null, found '}'"},
        {"{\"a\":\"\n\"}", "i.json:1: expected the end of a string, found byte 0x0a"},
        {"{\"a\":\"\\x\"}", "expected an escape such as \\n, found 'x'"},
        {"{\"a\":\"abc", "found the end of the file"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_error error = {""};
        struct sl_coco *c = NULL;
        assert_true(read_coco(*cases[i].text ? cases[i].text : " ", &c, &error) < 0);
        assert_null(c);
        if (!strstr(error.message, cases[i].message))
            fail_msg("'%s' without '%s'", error.message, cases[i].message);
    }
}

static void an_unknown_category_is_named_when_it_is_met(void **state)
{
    (void)state;
    struct sl_coco *c;
    struct sl_error error = {""};
    static struct sl_label rows[MOST_LABELS];
    struct sl_truth t = {0, rows};
    assert_int_equal(
        read_coco(ONE("{\"image_id\":7,\"category_id\":90,\"bbox\":[1,2,3,4]}"), &c, NULL), 0);
    assert_int_equal(coco_labels(c, 0, &context, &t, &error), -EINVAL);
    assert_non_null(strstr(error.message, "annotations[0]: expected one of the model's 2 classes, "
                                          "found category 'cat'"));
    coco_free(c);
}

static void deep_json_is_refused(void **state)
{
    (void)state;
    char text[400] = "{\"a\":";
    struct sl_error error = {""};
    struct sl_coco *c;
    memset(text + 5, '[', 300);
    assert_int_equal(read_coco(text, &c, &error), -EBADMSG);
    assert_non_null(strstr(error.message, "more than 64 levels"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(voc_is_read),
        cmocka_unit_test(voc_is_refused_with_its_place),
        cmocka_unit_test(deep_and_many_elements_are_refused),
        cmocka_unit_test(coco_is_read),
        cmocka_unit_test(coco_is_refused_with_its_place),
        cmocka_unit_test(an_unknown_category_is_named_when_it_is_met),
        cmocka_unit_test(deep_json_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
