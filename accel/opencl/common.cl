// What all kernels share. Products and sums are rounded one by one, as the reference has them.
#pragma OPENCL FP_CONTRACT OFF

enum activation_kind { RELU = 13, LEAKY_RELU = 14, HARD_SIGMOID = 17, CLIP = 1000 };

// An 8-bit value less its zero point. For int8 `flip` is 128 and `zero` 128 more.
int centred(uchar byte, int flip, int zero)
{
    return ((int)byte ^ flip) - zero;
}

// `low` and `high` are without the zero point; NaN becomes `low`.
uchar requantise(int sum, float multiplier, int zero, float low, float high)
{
    float rounded = rint((float)sum * multiplier);
    rounded = rounded > low ? rounded : low;
    rounded = rounded < high ? rounded : high;
    return (uchar)((int)rounded + zero);
}

// OpenCL's own division may be off by more than half a unit; the remainder says by how much.
float divided(float x, float by)
{
    float q = x / by;
    for (int i = 0; i < 2 && isfinite(q); i++)
        q = fma(fma(-q, by, x), 1.0f / by, q);
    return q;
}

uchar quantised(float x, float scale, int zero, float low, float high)
{
    float rounded = rint(divided(x, scale));
    rounded = rounded > low ? rounded : low;
    rounded = rounded < high ? rounded : high;
    return (uchar)((int)rounded + zero);
}

float sigmoid(float x)
{
    return 1.0f / (1.0f + exp(-x));
}

float softplus(float x)
{
    return x > 0.0f ? x + log1p(exp(-x)) : log1p(exp(x));
}

float within(float x, float low, float high)
{
    float raised = x < low ? low : x;
    return raised > high ? high : raised;
}

// Numbers as in graph.h.
float activate(int kind, float alpha, float beta, float x)
{
    switch (kind) {
    case 1: return fabs(x);
    case 2: return -x;
    case 3: return ceil(x);
    case 4: return floor(x);
    case 5: return rint(x);
    case 6: return sqrt(x);
    case 7: return exp(x);
    case 8: return log(x);
    case 9: return 1.0f / x;
    case 10: return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x;
    case 11: return erf(x);
    case RELU: return x < 0.0f ? 0.0f : x;
    case LEAKY_RELU: return x < 0.0f ? alpha * x : x;
    case 15: return x < 0.0f ? alpha * expm1(x) : x;
    case 16: return sigmoid(x);
    case HARD_SIGMOID: return within(alpha * x + beta, 0.0f, 1.0f);
    case 18: return x * within(x / 6.0f + 0.5f, 0.0f, 1.0f);
    case 19: return tanh(x);
    case 20: return softplus(x);
    case 21: return x * sigmoid(x);
    case 22: return x * tanh(softplus(x));
    case 23: return sin(x);
    case 24: return cos(x);
    case CLIP: return within(x, alpha, beta);
    default: return x;
    }
}
