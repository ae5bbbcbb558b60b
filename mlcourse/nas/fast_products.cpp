// Products of tall matrices, (pixels, channels), with small ones: the two that batch norm needs, and
// the batch norm of D W^T made of them, as fast_norm.py derives it.
//
// All matrices come in a stack, one for each edge, whose rows may lie apart in memory. Sums are
// kept in registers for a block of rows and a block of columns; `Lanes` are columns in a register.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

namespace {

template <typename T>
struct Stack {
  T* data;
  int64_t edge, row, columns;
  explicit Stack(const at::Tensor& t)
      : data(t.data_ptr<T>()), edge(t.stride(0)), row(t.stride(1)), columns(t.size(2)) {}
  T* at(int64_t e, int64_t r, int64_t c) const { return data + e * edge + r * row + c; }
};

// Adds the product of `rows` rows of A from `first` on with columns of B to sums.
template <int rows, int width, typename T, typename Lanes>
inline void multiply(const Stack<T>& A, const Stack<T>& B, int64_t e, int64_t first,
                     int64_t column, Lanes (&sums)[rows][width]) {
  constexpr int64_t lanes = sizeof(Lanes) / sizeof(T);
  for (int64_t i = 0; i < A.columns; i++)
#pragma GCC unroll 4
    for (int w = 0; w < width; w++) {
      const auto b = *(const Lanes*)B.at(e, i, column + w * lanes);
#pragma GCC unroll 16
      for (int r = 0; r < rows; r++) sums[r][w] += *A.at(e, first + r, i) * b;
    }
}

// out[first : first + rows] = A V + D M + b, and on top of what is there with `add`.
template <int rows, int width, typename T, typename Lanes>
void affine_rows(const Stack<T>& out, const Stack<T>& A, const Stack<T>& V, const Stack<T>* D,
                 const Stack<T>* M, const Stack<T>& b, bool add, int64_t e, int64_t first) {
  constexpr int64_t lanes = sizeof(Lanes) / sizeof(T);
  for (int64_t column = 0; column < out.columns; column += width * lanes) {
    Lanes sums[rows][width];
    for (int w = 0; w < width; w++)
      for (int r = 0; r < rows; r++) sums[r][w] = *(const Lanes*)b.at(e, 0, column + w * lanes);
    multiply<rows, width>(A, V, e, first, column, sums);
    if (D) multiply<rows, width>(*D, *M, e, first, column, sums);
    for (int r = 0; r < rows; r++)
      for (int w = 0; w < width; w++) {
        auto& there = *(Lanes*)out.at(e, first + r, column + w * lanes);
        there = add ? there + sums[r][w] : sums[r][w];
      }
  }
}

template <int width, typename T, int bytes>
void affine_all(at::Tensor& out, const at::Tensor& A, const at::Tensor& V,
                const std::optional<at::Tensor>& D, const std::optional<at::Tensor>& M,
                const at::Tensor& b, bool add) {
  typedef T Lanes __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));
  constexpr int rows = width == 4 ? 6 : 8;
  const Stack<T> o(out), a(A), v(V), d(D.value_or(A)), m(M.value_or(V)), offset(b);
  const auto *second = D ? &d : nullptr, *its = D ? &m : nullptr;
  const int64_t n = A.size(1), blocks = (n + rows - 1) / rows;
  at::parallel_for(0, A.size(0) * blocks, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t e = i / blocks, first = i % blocks * rows;
      if (first + rows <= n)
        affine_rows<rows, width, T, Lanes>(o, a, v, second, its, offset, add, e, first);
      else
        for (int64_t r = first; r < n; r++)
          affine_rows<1, width, T, Lanes>(o, a, v, second, its, offset, add, e, r);
    }
  });
}

// out (edges, A's columns, D's columns) = A^T D.
template <int rows, int width, typename T, int bytes>
void cross_all(at::Tensor& out, const at::Tensor& A, const at::Tensor& D) {
  typedef T Lanes __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));
  constexpr int64_t lanes = bytes / sizeof(T), some = 256;
  const Stack<T> o(out), a(A), d(D);
  const int64_t n = A.size(1), blocks = A.size(2) / rows;
  at::parallel_for(0, A.size(0) * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t from = 0; from < n; from += some)  // so few rows stay in the cache
      for (int64_t i = begin; i < end; i++)
        for (int64_t column = 0; column < d.columns; column += width * lanes) {
          const int64_t e = i / blocks, first = i % blocks * rows;
          Lanes sums[rows][width] = {};
          for (int64_t p = from; p < std::min(from + some, n); p++)
#pragma GCC unroll 4
            for (int w = 0; w < width; w++) {
              const auto x = *(const Lanes*)d.at(e, p, column + w * lanes);
#pragma GCC unroll 16
              for (int r = 0; r < rows; r++) sums[r][w] += *a.at(e, p, first + r) * x;
            }
          for (int r = 0; r < rows; r++)
            for (int w = 0; w < width; w++)
              *(Lanes*)o.at(e, first + r, column + w * lanes) += sums[r][w];
        }
  });
}

void affine_(at::Tensor out, const at::Tensor& A, const at::Tensor& V,
             const std::optional<at::Tensor>& D, const std::optional<at::Tensor>& M,
             const at::Tensor& b, bool add) {
  AT_DISPATCH_FLOATING_TYPES(out.scalar_type(), "affine_", [&] {
    const int64_t bytes = out.size(2) * sizeof(scalar_t);
    auto run = bytes % 256 == 0   ? affine_all<4, scalar_t, 64>
               : bytes % 128 == 0 ? affine_all<2, scalar_t, 64>
               : bytes % 64 == 0  ? affine_all<1, scalar_t, 64>
               : bytes % 32 == 0  ? affine_all<1, scalar_t, 32>
                                  : affine_all<1, scalar_t, sizeof(scalar_t)>;
    run(out, A, V, D, M, b, add);
  });
}

at::Tensor tall_cross(const at::Tensor& A, const at::Tensor& D) {
  auto out = at::zeros({A.size(0), A.size(2), D.size(2)}, A.options());
  AT_DISPATCH_FLOATING_TYPES(out.scalar_type(), "cross", [&] {
    const int64_t bytes = D.size(2) * sizeof(scalar_t), rows = A.size(2);
    auto run = rows % 8 == 0 && bytes % 128 == 0  ? cross_all<8, 2, scalar_t, 64>
               : rows % 16 == 0 && bytes % 64 == 0 ? cross_all<16, 1, scalar_t, 64>
               : rows % 8 == 0 && bytes % 64 == 0  ? cross_all<8, 1, scalar_t, 64>
               : rows % 8 == 0 && bytes % 32 == 0  ? cross_all<8, 1, scalar_t, 32>
                                                   : cross_all<1, 1, scalar_t, sizeof(scalar_t)>;
    run(out, A, D);
  });
  return out;
}

// The matrices V and b with scale * norm(D W^T) = D V + b, and what the backward pass asks for.
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>
norm(const at::Tensor& D, const at::Tensor& W, const at::Tensor& scale, double eps) {
  const auto edges = W.size(0), out = W.size(1), in = W.size(2);
  const auto w = W.contiguous(), m = D.mean(1);
  const auto S = tall_cross(D, D).baddbmm_(m.unsqueeze(2), m.unsqueeze(1), 1.0 / D.size(1), -1);
  const auto WS = at::bmm(w, S), mean = at::bmm(w, m.unsqueeze(2)).squeeze(2);
  auto variance = at::empty_like(mean), r = at::empty_like(mean);
  auto V = at::empty({edges, in, out}, W.options()), b = at::empty({edges, 1, out}, W.options());
  AT_DISPATCH_FLOATING_TYPES(W.scalar_type(), "norm", [&] {
    const auto W_ = w.accessor<scalar_t, 3>(), WS_ = WS.accessor<scalar_t, 3>();
    const auto scale_ = scale.accessor<scalar_t, 2>(), mean_ = mean.accessor<scalar_t, 2>();
    auto variance_ = variance.accessor<scalar_t, 2>(), r_ = r.accessor<scalar_t, 2>();
    auto V_ = V.accessor<scalar_t, 3>(), b_ = b.accessor<scalar_t, 3>();
    for (int64_t e = 0; e < edges; e++)
      for (int64_t o = 0; o < out; o++) {
        scalar_t v = 0;
        for (int64_t c = 0; c < in; c++) v += WS_[e][o][c] * W_[e][o][c];
        variance_[e][o] = v;
        r_[e][o] = 1 / std::sqrt(v + scalar_t(eps));
        const scalar_t k = scale_[e][0] * r_[e][o];
        b_[e][0][o] = -k * mean_[e][o];
        for (int64_t c = 0; c < in; c++) V_[e][c][o] = k * W_[e][o][c];
      }
  });
  return {V, b, m, WS, mean, variance, r};
}

// The gradients in D, W and scale when scale * norm(D W^T) has G, (edges, pixels, out).
std::tuple<at::Tensor, at::Tensor, at::Tensor> norm_backward(
    const at::Tensor& G, const at::Tensor& D, const at::Tensor& W, const at::Tensor& scale,
    const at::Tensor& m, const at::Tensor& WS, const at::Tensor& mean, const at::Tensor& r,
    bool also_W) {
  const auto edges = W.size(0), pixels = D.size(1), out = W.size(1), in = W.size(2);
  const auto w = W.contiguous(), GD = tall_cross(G, D), g = G.mean(1);
  auto V = at::empty_like(w), M = at::empty_like(w), into_scale = at::zeros({edges, 1}, W.options());
  auto b = at::zeros({edges, 1, in}, W.options());
  auto into_W = also_W ? at::empty_like(w) : at::Tensor();
  AT_DISPATCH_FLOATING_TYPES(W.scalar_type(), "norm_backward", [&] {
    const auto W_ = w.accessor<scalar_t, 3>(), WS_ = WS.accessor<scalar_t, 3>();
    const auto GD_ = GD.accessor<scalar_t, 3>();
    const auto g_ = g.accessor<scalar_t, 2>(), m_ = m.accessor<scalar_t, 2>();
    const auto mean_ = mean.accessor<scalar_t, 2>(), r_ = r.accessor<scalar_t, 2>();
    const auto scale_ = scale.accessor<scalar_t, 2>();
    auto V_ = V.accessor<scalar_t, 3>(), M_ = M.accessor<scalar_t, 3>();
    auto b_ = b.accessor<scalar_t, 3>();
    auto into_scale_ = into_scale.accessor<scalar_t, 2>();
    for (int64_t e = 0; e < edges; e++)
      for (int64_t o = 0; o < out; o++) {
        scalar_t dot = 0;
        for (int64_t c = 0; c < in; c++) dot += GD_[e][o][c] * W_[e][o][c];
        const scalar_t q = r_[e][o] * (dot / pixels - mean_[e][o] * g_[e][o]);
        const scalar_t rq = r_[e][o] * q, k = scale_[e][0] * r_[e][o];
        const scalar_t shift = rq * mean_[e][o] - g_[e][o];
        into_scale_[e][0] += pixels * q;
        for (int64_t c = 0; c < in; c++) {
          V_[e][o][c] = k * W_[e][o][c];
          M_[e][o][c] = -rq * W_[e][o][c];
          b_[e][0][c] += shift * V_[e][o][c];
        }
        if (also_W) {
          auto into = into_W.accessor<scalar_t, 3>()[e][o];
          for (int64_t c = 0; c < in; c++)
            into[c] = k * (GD_[e][o][c] - pixels * (g_[e][o] * m_[e][c] + rq * WS_[e][o][c]));
        }
      }
  });
  // In memory the pixels come first, as they do in D.
  auto into_D = at::empty({pixels, edges, in}, D.options()).transpose(0, 1);
  affine_(into_D, G, V, D, at::bmm(V.transpose(1, 2), M), b, false);
  return {into_D, into_W, into_scale};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mlcourse_nas, library) {
  library.def(
      "affine_(Tensor(a!) out, Tensor A, Tensor V, Tensor? D, Tensor? M, Tensor b, bool add) -> ()",
      affine_);
  library.def("cross(Tensor A, Tensor D) -> Tensor", tall_cross);
  library.def(
      "norm(Tensor D, Tensor W, Tensor scale, float eps) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
      norm);
  library.def(
      "norm_backward(Tensor G, Tensor D, Tensor W, Tensor scale, Tensor m, Tensor WS, Tensor mean, "
      "Tensor r, bool also_W) -> (Tensor, Tensor, Tensor)",
      norm_backward);
}
