// A bank of depthwise filters on images (N, height, width, C), forward and backward.
//
// The images come with a border of zeros as wide as the filters reach, so that no pixel of the
// output needs a question whether it is inside. Each thread takes some of the images.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

namespace {

struct Shape {
  int64_t N, width, rows, columns, k, C, stride, dilation;
  Shape(const at::Tensor& x, const at::Tensor& out, int64_t stride, int64_t dilation)
      : N(x.size(0)), width(x.size(2)), rows(out.size(1)), columns(out.size(2)), k(out.size(3)),
        C(out.size(4)), stride(stride), dilation(dilation) {}
  // In numbers from an image's first: where the filter of an output pixel begins, and its taps.
  int64_t corner(int64_t row, int64_t column) const { return (row * width + column) * stride * C; }
  int64_t tap(int64_t i, int64_t j) const { return (i * width + j) * dilation * C; }
  // The first weight of the filter that makes channel c of the k * C in the output.
  int64_t filter(int64_t c, int64_t K) const { return c / C * K * K * C + c % C; }
};

// `some` pixels of a row of the output, from `column` on. x and out are at the image's first pixel,
// w at the filter's first weight, all at the same channels: `Lanes` are some, in one register.
template <int K, int some, typename T, typename Lanes>
inline void filter(const Shape& s, const T* x, const T* w, T* out, int64_t row, int64_t column) {
  Lanes sums[some] = {};
  for (int i = 0; i < K; i++)
    for (int j = 0; j < K; j++) {
      const auto weight = *(const Lanes*)(w + (i * K + j) * s.C);
      const T* first = x + s.corner(row, column) + s.tap(i, j);
#pragma GCC unroll 8
      for (int p = 0; p < some; p++)
        sums[p] += weight * *(const Lanes*)(first + p * s.stride * s.C);
    }
  for (int p = 0; p < some; p++)
    *(Lanes*)(out + (row * s.columns + column + p) * s.k * s.C) = sums[p];
}

// One image: x (height, width, C), w (k, K, K, C), out (rows, columns, k, C).
template <int K, typename T, typename Lanes>
void forward(const Shape& s, const T* x, const T* w, T* out) {
  for (int64_t c = 0; c < s.k * s.C; c += sizeof(Lanes) / sizeof(T)) {
    const T* weights = w + s.filter(c, K);
    for (int64_t row = 0; row < s.rows; row++) {
      int64_t column = 0;
      for (; column + 8 <= s.columns; column += 8)
        filter<K, 8, T, Lanes>(s, x + c % s.C, weights, out + c, row, column);
      for (; column < s.columns; column++)
        filter<K, 1, T, Lanes>(s, x + c % s.C, weights, out + c, row, column);
    }
  }
}

// One image, in one pass: g is the gradient in out. Adds to into_x, writes into_w if `filters`.
template <int K, bool filters, typename T, typename Lanes>
void backward(const Shape& s, const T* g, const T* x, const T* w, T* into_x, T* into_w) {
  for (int64_t c = 0; c < s.k * s.C; c += sizeof(Lanes) / sizeof(T)) {
    const T* weights = w + s.filter(c, K);
    Lanes sums[K * K] = {};
    for (int64_t row = 0; row < s.rows; row++)
      for (int64_t column = 0; column < s.columns; column++) {
        const auto here = *(const Lanes*)(g + (row * s.columns + column) * s.k * s.C + c);
        const int64_t corner = s.corner(row, column) + c % s.C;
#pragma GCC unroll 5
        for (int i = 0; i < K; i++)
#pragma GCC unroll 5
          for (int j = 0; j < K; j++) {
            const int64_t pixel = corner + s.tap(i, j);
            if (filters) sums[i * K + j] += here * *(const Lanes*)(x + pixel);
            *(Lanes*)(into_x + pixel) += here * *(const Lanes*)(weights + (i * K + j) * s.C);
          }
      }
    for (int t = 0; filters && t < K * K; t++)
      *(Lanes*)(into_w + s.filter(c, K) + t * s.C) = sums[t];
  }
}

// Calls run(Lanes{}) with as many channels in a register as divide C.
template <typename T, typename Run>
void with_lanes(int64_t C, Run run) {
  typedef T Wide __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));
  typedef T Half __attribute__((vector_size(32), aligned(sizeof(T)), may_alias));
  typedef T One __attribute__((vector_size(sizeof(T)), aligned(sizeof(T)), may_alias));
  const int64_t bytes = C * sizeof(T);
  bytes % 64 == 0 ? run(Wide{}) : bytes % 32 == 0 ? run(Half{}) : run(One{});
}

// out (N, rows, columns, k, C) of x (N, height, width, C) with its border, w (k, K, K, C).
void depthwise_(at::Tensor out, const at::Tensor& x, const at::Tensor& w, int64_t stride,
                int64_t dilation) {
  const Shape s(x, out, stride, dilation);
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "depthwise_", [&] {
    with_lanes<scalar_t>(s.C, [&](auto lanes) {
      auto run = w.size(1) == 3 ? forward<3, scalar_t, decltype(lanes)>
                                : forward<5, scalar_t, decltype(lanes)>;
      at::parallel_for(0, s.N, 1, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; n++)
          run(s, x.const_data_ptr<scalar_t>() + n * x.stride(0), w.const_data_ptr<scalar_t>(),
              out.data_ptr<scalar_t>() + n * out.stride(0));
      });
    });
  });
}

// Returns the gradients in x and in w of the gradient g in out; that in w only if `filters`.
std::tuple<at::Tensor, at::Tensor> depthwise_backward(const at::Tensor& g, const at::Tensor& x,
                                                      const at::Tensor& w, int64_t stride,
                                                      int64_t dilation, bool filters) {
  const Shape s(x, g, stride, dilation);
  auto into_x = at::zeros_like(x);
  auto into_w = at::empty({s.N, w.size(0), w.size(1), w.size(2), w.size(3)}, w.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "depthwise_backward", [&] {
    with_lanes<scalar_t>(s.C, [&](auto lanes) {
      using Lanes = decltype(lanes);
      auto run = filters ? w.size(1) == 3 ? backward<3, true, scalar_t, Lanes>
                                          : backward<5, true, scalar_t, Lanes>
                 : w.size(1) == 3 ? backward<3, false, scalar_t, Lanes>
                                  : backward<5, false, scalar_t, Lanes>;
      at::parallel_for(0, s.N, 1, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; n++)
          run(s, g.const_data_ptr<scalar_t>() + n * g.stride(0),
              x.const_data_ptr<scalar_t>() + n * x.stride(0), w.const_data_ptr<scalar_t>(),
              into_x.data_ptr<scalar_t>() + n * into_x.stride(0),
              into_w.data_ptr<scalar_t>() + n * into_w.stride(0));
      });
    });
  });
  return {into_x, filters ? into_w.sum(0) : into_w[0]};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mlcourse_nas, library) {
  library.def(
      "depthwise_(Tensor(a!) out, Tensor x, Tensor w, int stride, int dilation) -> ()",
      depthwise_);
  library.def(
      "depthwise_backward(Tensor g, Tensor x, Tensor w, int stride, int dilation, bool filters)"
      " -> (Tensor, Tensor)",
      depthwise_backward);
}
