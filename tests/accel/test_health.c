// Temperature and clock from files as the kernel writes them.
#include "accel/cpu/health.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char root[] = "/tmp/sl-health-XXXXXX";

static void write_file(const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof(whole), "%s/%s", root, path);
    for (char *at = whole + strlen(root) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        mkdir(whole, 0700);
        *at = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_nothing_shown(void **state)
{
    (void)state;
    struct sl_device_health health = {0};
    cpu_read_health("/nowhere", &health);
    assert_int_equal(health.ok, 1);
    assert_true(isnan(health.temperature_c));
    assert_true(isnan(health.clock_mhz));
}

static void test_hottest_zone(void **state)
{
    (void)state;
    struct sl_device_health health;
    write_file("class/thermal/thermal_zone0/temp", "41500\n");
    write_file("class/thermal/thermal_zone1/temp", "");
    write_file("class/thermal/thermal_zone2/temp", "no number\n");
    write_file("class/thermal/thermal_zone3/temp", "63250\n");
    write_file("class/thermal/thermal_zone4/temp", "-20000\n");
    write_file("devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1800000\n");
    cpu_read_health(root, &health);
    assert_true(fabsf(health.temperature_c - 63.25f) < 0.01f);
    assert_true(fabsf(health.clock_mhz - 1800.0f) < 0.1f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_shown),
        cmocka_unit_test(test_hottest_zone),
    };
    if (!mkdtemp(root))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
