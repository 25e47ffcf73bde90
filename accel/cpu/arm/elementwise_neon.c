// Element-wise kernels for NEON. What is left over at the end goes to the C kernels.
#include "accel/cpu/arm/neon.h"

#include <math.h>

INLINE int16x8_t load_words(const uint8_t *x, uint32_t is_signed)
{
    const uint8x8_t bytes = vld1_u8(x);
    return is_signed ? vmovl_s8(vreinterpret_s8_u8(bytes)) : vreinterpretq_s16_u16(vmovl_u8(bytes));
}

INLINE int16x8_t centred_words(const uint8_t *x, int16x8_t zero, uint32_t is_signed)
{
    return vsubq_s16(load_words(x, is_signed), zero);
}

void cpu_widen_neon(const uint8_t *x, int16_t *y, int64_t count, int32_t zero, uint32_t is_signed)
{
    const int16x8_t centre = vdupq_n_s16((int16_t)zero);
    int64_t i = 0;
    for (; count - i >= 8; i += 8)
        vst1q_s16(y + i, centred_words(x + i, centre, is_signed));
    cpu_widen_c(x + i, y + i, count - i, zero, is_signed);
}

// The store interleaves.
void cpu_widen_planes_neon(const uint8_t *x, int64_t plane, int64_t channels, int16_t *y,
                           int64_t count, int32_t zero, uint32_t is_signed)
{
    const int16x8_t centre = vdupq_n_s16((int16_t)zero);
    int64_t i = 0;
    if (channels == 1) {
        cpu_widen_neon(x, y, count, zero, is_signed);
        return;
    }
    for (; channels <= 4 && count - i >= 8; i += 8) {
        int16x8x4_t v;
        for (int64_t c = 0; c < 4; c++)
            v.val[c] = c < channels ? centred_words(x + c * plane + i, centre, is_signed) : centre;
        const int16x8x2_t two = {{v.val[0], v.val[1]}};
        const int16x8x3_t three = {{v.val[0], v.val[1], v.val[2]}};
        if (channels == 2)
            vst2q_s16(y + 2 * i, two);
        else if (channels == 3)
            vst3q_s16(y + 3 * i, three);
        else
            vst4q_s16(y + 4 * i, v);
    }
    cpu_widen_planes_c(x + i, plane, channels, y + i * channels, count - i, zero, is_signed);
}

struct eight {
    float32x4_t low, high;
};

INLINE struct eight to_reals(int16x8_t words)
{
    return (struct eight){vcvtq_f32_s32(vmovl_s16(vget_low_s16(words))),
                          vcvtq_f32_s32(vmovl_high_s16(words))};
}

// Eight real numbers become eight bytes.
INLINE void store_rounded(struct eight real, float low, float high, int32_t zero, uint8_t *y)
{
    const int32x4_t centre = vdupq_n_s32(zero);
    const int32x4_t a = vaddq_s32(vcvtnq_s32_f32(clamp(real.low, low, high)), centre);
    const int32x4_t b = vaddq_s32(vcvtnq_s32_f32(clamp(real.high, low, high)), centre);
    vst1_u8(y, vreinterpret_u8_s8(vmovn_s16(vmovn_high_s32(vmovn_s32(a), b))));
}

void cpu_add_q8_neon(const struct cpu_add *add, const uint8_t *a, const uint8_t *b, uint8_t *y,
                     int64_t count)
{
    const float32x4_t offset = vdupq_n_f32(add->offset);
    int64_t i = 0;
    for (; count - i >= 8; i += 8) {
        const struct eight left = to_reals(load_words(a + i, add->a_signed));
        const struct eight right = to_reals(load_words(b + i, add->b_signed));
        const struct eight sum = {
            vfmaq_n_f32(vfmaq_n_f32(offset, right.low, add->b_ratio), left.low, add->a_ratio),
            vfmaq_n_f32(vfmaq_n_f32(offset, right.high, add->b_ratio), left.high, add->a_ratio)};
        store_rounded(sum, add->low, add->high, 0, y + i);
    }
    cpu_add_q8_c(add, a + i, b + i, y + i, count - i);
}

void cpu_mul_q8_neon(const struct sl_quantised_product *mul, const uint8_t *a, const uint8_t *b,
                     uint8_t *y, int64_t count)
{
    const int16x8_t a_zero = vdupq_n_s16((int16_t)mul->a_zero);
    const int16x8_t b_zero = vdupq_n_s16((int16_t)mul->b_zero);
    const float32x4_t offset = vdupq_n_f32(mul->offset);
    int64_t i = 0;
    for (; count - i >= 8; i += 8) {
        const int16x8_t left = centred_words(a + i, a_zero, 0);
        const int16x8_t right = centred_words(b + i, b_zero, 0);
        const float32x4_t low = vcvtq_f32_s32(vmull_s16(vget_low_s16(left), vget_low_s16(right)));
        const float32x4_t high = vcvtq_f32_s32(vmull_high_s16(left, right));
        const struct eight real = {vaddq_f32(vmulq_n_f32(low, mul->ratio), offset),
                                   vaddq_f32(vmulq_n_f32(high, mul->ratio), offset)};
        store_rounded(real, mul->low, mul->high, 0, y + i);
    }
    cpu_mul_q8_c(mul, a + i, b + i, y + i, count - i);
}

void cpu_quantize_neon(const struct cpu_quant *quant, const float *x, uint8_t *y, int64_t count)
{
    const float32x4_t scale = vdupq_n_f32(quant->scale);
    int64_t i = 0;
    for (; count - i >= 8; i += 8) {
        const struct eight real = {vdivq_f32(vld1q_f32(x + i), scale),
                                   vdivq_f32(vld1q_f32(x + i + 4), scale)};
        store_rounded(real, quant->low, quant->high, quant->zero, y + i);
    }
    cpu_quantize_c(quant, x + i, y + i, count - i);
}

void cpu_dequantize_neon(const struct cpu_quant *quant, const uint8_t *x, float *y, int64_t count)
{
    const int16x8_t zero = vdupq_n_s16((int16_t)quant->zero);
    int64_t i = 0;
    for (; count - i >= 8; i += 8) {
        const struct eight real = to_reals(centred_words(x + i, zero, quant->is_signed));
        vst1q_f32(y + i, vmulq_n_f32(real.low, quant->scale));
        vst1q_f32(y + i + 4, vmulq_n_f32(real.high, quant->scale));
    }
    cpu_dequantize_c(quant, x + i, y + i, count - i);
}

// Four tables of 64 bytes: an index beyond its table leaves the result as it is.
void cpu_lookup_neon(const uint8_t table[256], const uint8_t *x, uint8_t *y, int64_t count)
{
    const uint8x16x4_t t0 = vld1q_u8_x4(table), t1 = vld1q_u8_x4(table + 64);
    const uint8x16x4_t t2 = vld1q_u8_x4(table + 128), t3 = vld1q_u8_x4(table + 192);
    const uint8x16_t step = vdupq_n_u8(64);
    int64_t i = 0;
    for (; count - i >= 16; i += 16) {
        uint8x16_t index = vld1q_u8(x + i);
        uint8x16_t found = vqtbl4q_u8(t0, index);
        index = vsubq_u8(index, step);
        found = vqtbx4q_u8(found, t1, index);
        index = vsubq_u8(index, step);
        found = vqtbx4q_u8(found, t2, index);
        index = vsubq_u8(index, step);
        vst1q_u8(y + i, vqtbx4q_u8(found, t3, index));
    }
    cpu_lookup_c(table, x + i, y + i, count - i);
}

INLINE uint8x16_t greater(uint8x16_t a, uint8x16_t b, uint32_t is_signed)
{
    const int8x16_t most = vmaxq_s8(vreinterpretq_s8_u8(a), vreinterpretq_s8_u8(b));
    return is_signed ? vreinterpretq_u8_s8(most) : vmaxq_u8(a, b);
}

void cpu_max_q8_neon(const struct cpu_windows *w, uint32_t is_signed)
{
    const int64_t whole = w->channels & ~(int64_t)15;
    for (int64_t p = 0; p < w->pixels; p++) {
        uint8_t *y = cpu_window_output(w, p);
        for (int64_t i = 0; i < whole; i += 16) {
            uint8x16_t most = vdupq_n_u8(is_signed ? 0x80 : 0);
            for (int64_t k = 0; k < w->rows; k++)
                for (int64_t j = 0; j < w->columns; j++) {
                    const uint8_t *x = cpu_window_tap(w, p, k, j);
                    most = greater(vld1q_u8(x + i), most, is_signed);
                }
            vst1q_u8(y + i, most);
        }
    }
    const struct cpu_windows rest = cpu_windows_rest(w, whole, 1);
    if (rest.channels > 0)
        cpu_max_q8_c(&rest, is_signed);
}

void cpu_max_f32_neon(const struct cpu_windows *w)
{
    const int64_t whole = w->channels & ~(int64_t)3;
    for (int64_t p = 0; p < w->pixels; p++) {
        float *y = cpu_window_output(w, p);
        for (int64_t i = 0; i < whole; i += 4) {
            float32x4_t most = vdupq_n_f32(-INFINITY);
            for (int64_t k = 0; k < w->rows; k++)
                for (int64_t j = 0; j < w->columns; j++) {
                    const float *x = cpu_window_tap(w, p, k, j);
                    const float32x4_t value = vld1q_f32(x + i);
                    most = vbslq_f32(vcgtq_f32(value, most), value, most);
                }
            vst1q_f32(y + i, most);
        }
    }
    const struct cpu_windows rest = cpu_windows_rest(w, whole, sizeof(float));
    if (rest.channels > 0)
        cpu_max_f32_c(&rest);
}

void cpu_average_q8_neon(const struct cpu_windows *w, const struct cpu_average *average)
{
    const int32x4_t zeros = vdupq_n_s32((int32_t)(w->rows * w->columns) * average->x_zero);
    const int64_t whole = w->channels & ~(int64_t)7;
    for (int64_t p = 0; p < w->pixels; p++) {
        uint8_t *y = cpu_window_output(w, p);
        for (int64_t i = 0; i < whole; i += 8) {
            int32x4_t low = vdupq_n_s32(0), high = low;
            for (int64_t k = 0; k < w->rows; k++)
                for (int64_t j = 0; j < w->columns; j++) {
                    const uint8_t *x = cpu_window_tap(w, p, k, j);
                    const int16x8_t words = load_words(x + i, average->x_signed);
                    low = vaddw_s16(low, vget_low_s16(words));
                    high = vaddw_high_s16(high, words);
                }
            const struct eight real = {
                vmulq_n_f32(vcvtq_f32_s32(vsubq_s32(low, zeros)), average->multiplier),
                vmulq_n_f32(vcvtq_f32_s32(vsubq_s32(high, zeros)), average->multiplier)};
            store_rounded(real, average->low, average->high, average->y_zero, y + i);
        }
    }
    const struct cpu_windows rest = cpu_windows_rest(w, whole, 1);
    if (rest.channels > 0)
        cpu_average_q8_c(&rest, average);
}

// One group of channels of all pixels. A mask's byte beyond 15 gives 0.
static void gather_group(const struct cpu_gather *job, const struct cpu_gather_part *parts,
                         uint32_t count)
{
    for (int64_t p = 0; p < job->pixels; p++) {
        uint8x16_t y = vdupq_n_u8(0);
        for (uint32_t k = 0; k < count; k++) {
            const uint8_t *x = job->x[parts[k].source] + (size_t)p * job->x_steps[parts[k].source];
            y = vorrq_u8(y, vqtbl1q_u8(vld1q_u8(x + parts[k].offset), vld1q_u8(parts[k].mask)));
        }
        vst1q_u8(job->y + (size_t)p * job->y_step + parts[0].channel, y);
    }
}

void cpu_gather_neon(const struct cpu_gather *job)
{
    for (uint32_t k = 0, end; k < job->n_parts; k = end) {
        for (end = k + 1; end < job->n_parts; end++)
            if (job->parts[end].channel != job->parts[k].channel)
                break;
        gather_group(job, job->parts + k, end - k);
    }
}
