// Products of tall matrices, (pixels, channels), with small ones: the two that batch norm needs.
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

at::Tensor cross(const at::Tensor& A, const at::Tensor& D) {
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

}  // namespace

TORCH_LIBRARY_FRAGMENT(mlcourse_nas, library) {
  library.def(
      "affine_(Tensor(a!) out, Tensor A, Tensor V, Tensor? D, Tensor? M, Tensor b, bool add) -> ()",
      affine_);
  library.def("cross(Tensor A, Tensor D) -> Tensor", cross);
}
