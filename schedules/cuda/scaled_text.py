"""Inner kernels in CUDA C for products of codes with scales, and for logits of an indexer."""

from __future__ import annotations

SCALED = r"""
// A warp's part of the product of the tiles of a step, times the scales of its rows and of 128 columns, added to its
// sums. A step is as long as a scale's block.
static __device__ __forceinline__ void hs_scaled(
    float* sums, void* tiles, const float* sa, const float* sw, int row, int column, int step, int thread) {
  int lane = thread & 31, warp = thread >> 5;
  row += warp / ACROSS * MT * 16 + (lane >> 2);
  column += warp % ACROSS * NT * 8;
  float left[MT * 2], right[NT], part[MT * NT * 4];
  #pragma unroll
  for (int half = 0; half < MT * 2; ++half) {
    left[half] = __ldg(sa + (long long)min(row + half * 8, M - 1) * STEPS + step);
  }
  #pragma unroll
  for (int n = 0; n < NT; ++n) right[n] = __ldg(sw + (column + n * 8) / 128 * STEPS + step);
  #pragma unroll
  for (int at = 0; at < MT * NT * 4 * (1 - WGMMA); ++at) part[at] = 0.0f;
  hs_product(part, tiles, step, thread, 0);
  #pragma unroll
  for (int m = 0; m < MT; ++m) {
    #pragma unroll
    for (int n = 0; n < NT; ++n) {
      #pragma unroll
      for (int at = 0; at < 4; ++at) {
        sums[(m * NT + n) * 4 + at] += part[(m * NT + n) * 4 + at] * (left[m * 2 + at / 2] * right[n]);
      }
    }
  }
}
"""

LOGITS = r"""
// Of a warp's sums, which are those of all heads of one token: the sum over heads of relu(sum) times the head's weight,
// times the key's scale where keys have one, to the token's row of `to`; -inf outside of the token's window.
static __device__ __forceinline__ void hs_logits(
    float* to, const float* sums, const float* weights, const void* scales, const void* start, const void* end, int row,
    int column, int thread) {
  int lane = thread & 31, warp = thread >> 5, token = row / HEADS + warp / ACROSS;
  column += warp % ACROSS * NT * 8;
  if (token >= M / HEADS) return;
  float weight[MT * 2];
  #pragma unroll
  for (int half = 0; half < MT * 2; ++half) weight[half] = __ldg(weights + token * HEADS + half * 8 + (lane >> 2));
  #pragma unroll
  for (int n = 0; n < NT; ++n) {
    float total[2] = {0.0f, 0.0f};
    #pragma unroll
    for (int half = 0; half < MT * 2; ++half) {
      #pragma unroll
      for (int at = 0; at < 2; ++at) {
        total[at] += fmaxf(sums[(half / 2 * NT + n) * 4 + half % 2 * 2 + at], 0.0f) * weight[half];
      }
    }
    #pragma unroll
    for (int at = 0; at < 2; ++at) {
      #pragma unroll
      for (int mask = 4; mask < 32; mask *= 2) total[at] += __shfl_xor_sync(0xffffffffu, total[at], mask);
      int key = column + n * 8 + (lane & 3) * 2 + at;
      if (SCALES) total[at] *= __ldg(static_cast<const float*>(scales) + key);
      if (WINDOW) {
        int first = __ldg(static_cast<const int*>(start) + token), last = __ldg(static_cast<const int*>(end) + token);
        if (key < first || key >= last) total[at] = -INFINITY;
      }
    }
    float* place = to + (long long)token * N + column + n * 8 + lane * 2;
    if (lane < 4) *reinterpret_cast<float2*>(place) = make_float2(total[0], total[1]);
  }
}
"""
