// The backward pass of a bank of depthwise filters on images (N, H, W, C), in one pass over them.
//
// The images come with a border of zeros as wide as the filters reach, so that no pixel of the
// output needs a question whether it is inside. Each thread takes some of the images.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

namespace {

struct Shape {
  int64_t N, width, rows, columns, k, C, stride, dilation;
};

// One image: g (rows, columns, k, C) is the gradient in the output, x (height, width, C), and
// w (k, K, K, C). Adds to into_x, writes into_w. `Lanes` are some channels, in one register.
template <int K, typename T, typename Lanes>
void backward(const Shape& s, const T* g, const T* x, const T* w, T* into_x, T* into_w) {
  constexpr int64_t lanes = sizeof(Lanes) / sizeof(T);
  const int64_t right = s.dilation * s.C, down = right * s.width;
  for (int64_t c = 0; c < s.k * s.C; c += lanes) {
    const int64_t filter = c / s.C * K * K * s.C + c % s.C;
    Lanes sums[K * K] = {};
    for (int64_t row = 0; row < s.rows; row++)
      for (int64_t column = 0; column < s.columns; column++) {
        const auto here = *(const Lanes*)(g + (row * s.columns + column) * s.k * s.C + c);
        const int64_t corner = (row * s.width + column) * s.stride * s.C + c % s.C;
#pragma GCC unroll 5
        for (int i = 0; i < K; i++)
#pragma GCC unroll 5
          for (int j = 0; j < K; j++) {
            const int64_t pixel = corner + i * down + j * right;
            sums[i * K + j] += here * *(const Lanes*)(x + pixel);
            *(Lanes*)(into_x + pixel) += here * *(const Lanes*)(w + filter + (i * K + j) * s.C);
          }
      }
    for (int t = 0; t < K * K; t++) *(Lanes*)(into_w + filter + t * s.C) = sums[t];
  }
}

template <int K, typename T, int bytes>
void all_images(const Shape& s, const at::Tensor& g, const at::Tensor& x, const at::Tensor& w,
                at::Tensor& into_x, at::Tensor& into_w) {
  typedef T Lanes __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));
  at::parallel_for(0, s.N, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; n++)
      backward<K, T, Lanes>(s, g.const_data_ptr<T>() + n * g.stride(0),
                            x.const_data_ptr<T>() + n * x.stride(0), w.const_data_ptr<T>(),
                            into_x.data_ptr<T>() + n * into_x.stride(0),
                            into_w.data_ptr<T>() + n * into_w.stride(0));
  });
}

template <int K, typename T>
void any_channels(const Shape& s, const at::Tensor& g, const at::Tensor& x, const at::Tensor& w,
                  at::Tensor& into_x, at::Tensor& into_w) {
  const int64_t bytes = s.C * sizeof(T);
  auto run = bytes % 64 == 0 ? all_images<K, T, 64>
             : bytes % 32 == 0 ? all_images<K, T, 32>
                               : all_images<K, T, sizeof(T)>;
  run(s, g, x, w, into_x, into_w);
}

// g (N, rows, columns, k, C), x (N, height, width, C) with its border, w (k, K, K, C), contiguous.
// Returns the gradients in x and in w.
std::tuple<at::Tensor, at::Tensor> depthwise_backward(const at::Tensor& g, const at::Tensor& x,
                                                      const at::Tensor& w, int64_t stride,
                                                      int64_t dilation) {
  const Shape s{g.size(0), x.size(2), g.size(1), g.size(2), g.size(3), g.size(4), stride, dilation};
  auto into_x = at::zeros_like(x);
  auto into_w = at::empty({s.N, w.size(0), w.size(1), w.size(2), w.size(3)}, w.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "depthwise_backward", [&] {
    auto run = w.size(1) == 3 ? any_channels<3, scalar_t> : any_channels<5, scalar_t>;
    run(s, g, x, w, into_x, into_w);
  });
  return {into_x, into_w.sum(0)};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mlcourse_nas, library) {
  library.def(
      "depthwise_backward(Tensor g, Tensor x, Tensor w, int stride, int dilation)"
      " -> (Tensor, Tensor)",
      depthwise_backward);
}
