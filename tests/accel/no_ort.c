// A library without the one symbol that ONNX Runtime has.
int no_ort_here(void);

int no_ort_here(void)
{
    return 0;
}
