"""Inner kernels for tensor cores in CUDA C: tiles copied into shared memory, multiplied, and their sums written.

A tile has rows of 128 bytes along k. The 16-byte piece ``c`` of row ``r`` is kept at piece ``c ^ (r % 8)``, so that
eight rows' worth of one piece lie in different banks: the 128-byte swizzle of the PTX ISA, section "Asynchronous
Warpgroup Level Matrix Shared Memory Layout". Sums of 16 rows and 8 columns are spread over a warp as by
``mma.m16n8k16`` there.
"""

from __future__ import annotations

from collections.abc import Mapping

# Bytes of a row of a tile.
ROW = 128

COPY = r"""
static __device__ __forceinline__ unsigned hs_address(const void* at) {
  return static_cast<unsigned>(__cvta_generic_to_shared(at));
}

// `COUNT` rows of 128 bytes from row `row` and byte `column` on; rows from `rows` on read as zeros.
template <int COUNT>
static __device__ __forceinline__ void hs_copy(
    unsigned to, const void* from, int row, int rows, int column, int thread) {
  #pragma unroll
  for (int piece = 0; piece < COUNT * 8; piece += THREADS) {
    int at = piece + thread, r = at >> 3, c = at & 7;
    if (COUNT * 8 % THREADS == 0 || at < COUNT * 8) {
      bool inside = row + r < rows;
      const char* source = static_cast<const char*>(from) + column + c * 16;
      source += (long long)(inside ? row + r : 0) * STRIDE;
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n"
                   :: "r"(to + r * 128 + ((c ^ (r & 7)) << 4)), "l"(source), "r"(inside ? 16 : 0));
    }
  }
}

// The tiles of step `step` along k into their place, by all threads of a block, as one group of copies.
static __device__ __forceinline__ void hs_fetch(
    void* tiles, const void* a, const void* w, int row, int column, int step, int thread) {
  if (step < STEPS) {
    unsigned to = hs_address(tiles) + step % STAGES * (ROWS + COLUMNS) * 128;
    hs_copy<ROWS>(to, a, row, M, step * 128, thread);
    hs_copy<COLUMNS>(to + ROWS * 128, w, column, N, step * 128, thread);
  }
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}

// Until the tiles of the next step have arrived, for every thread of the block; AHEAD steps are under way.
static __device__ __forceinline__ void hs_arrived() {
  asm volatile("cp.async.wait_group %0;\n" :: "n"(AHEAD - 1) : "memory");
  @FENCE@
  __syncthreads();
}
"""
FENCE = r'asm volatile("fence.proxy.async;\n" ::: "memory");'

MMA = r"""
static __device__ __forceinline__ void hs_matrices(unsigned* to, unsigned from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(from));
}

// A warp's part of the product of the tiles of a step, added to its sums.
static __device__ __forceinline__ void hs_product(float* sums, void* tiles, int step, int thread, int = 1) {
  int lane = thread & 31, warp = thread >> 5;
  unsigned left = hs_address(tiles) + step % STAGES * (ROWS + COLUMNS) * 128;
  unsigned right = left + (ROWS + warp % ACROSS * NT * 8) * 128;
  left += warp / ACROSS * MT * 16 * 128;
  #pragma unroll
  for (int part = 0; part < 4; ++part) {
    unsigned fa[MT][4], fw[NT / 2][4];
    #pragma unroll
    for (int m = 0; m < MT; ++m) {
      int r = m * 16 + (lane & 15), c = part * 2 + (lane >> 4);
      hs_matrices(fa[m], left + r * 128 + ((c ^ (r & 7)) << 4));
    }
    #pragma unroll
    for (int n = 0; n < NT / 2; ++n) {
      int r = n * 16 + (lane & 7) + (lane >> 4) * 8, c = part * 2 + ((lane >> 3) & 1);
      hs_matrices(fw[n], right + r * 128 + ((c ^ (r & 7)) << 4));
    }
    #pragma unroll
    for (int m = 0; m < MT; ++m) {
      #pragma unroll
      for (int n = 0; n < NT; ++n) {
        float* d = sums + (m * NT + n) * 4;
        const unsigned* b = fw[n / 2] + n % 2 * 2;
        asm volatile("mma.sync.aligned.@SHAPE@ {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(fa[m][0]), "r"(fa[m][1]), "r"(fa[m][2]), "r"(fa[m][3]), "r"(b[0]), "r"(b[1]));
      }
    }
  }
}
"""
MMA_SHAPES = {
    "bfloat16": "m16n8k16.row.col.f32.bf16.bf16.f32",
    "float8_e4m3fn": "m16n8k32.row.col.f32.e4m3.e4m3.f32",
}

WGMMA = r"""
static __device__ __forceinline__ unsigned long long hs_matrix(unsigned at) {
  // Its address, 1024 bytes from eight rows to the next eight, 128-byte swizzle.
  return ((unsigned long long)(at & 0x3FFFF) >> 4) | (1ull << 16) | (64ull << 32) | (1ull << 62);
}

// A warpgroup's part of the product of the tiles of a step, added to its sums, or in their place where `add` is 0;
// PENDING of them may not be done yet.
static __device__ __forceinline__ void hs_product(float* d, void* tiles, int step, int thread, int add = 1) {
  unsigned at = hs_address(tiles) + step % STAGES * (ROWS + COLUMNS) * 128;
  unsigned long long left = hs_matrix(at + (thread >> 7) * 64 * 128), right = hs_matrix(at + ROWS * 128);
  asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
  #pragma unroll
  for (int part = 0; part < 4; ++part) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %@ADD@, 0;\n"
                 "wgmma.mma_async.sync.aligned.@SHAPE@ {@SUMS@}, %@LEFT@, %@RIGHT@, p, 1, 1@ORDER@;\n}\n"
                 : @BOUND@ : "l"(left + part * 2), "l"(right + part * 2), "r"(add | part));
  }
  asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" :: "n"(PENDING) : "memory");
}
"""
WGMMA_SHAPES = {"bfloat16": "k16.f32.bf16.bf16", "float8_e4m3fn": "k32.f32.e4m3.e4m3"}
FINISH = r'asm volatile("wgmma.wait_group.sync.aligned 0;\n" ::: "memory");'

STORE = r"""
static __device__ __forceinline__ void hs_pair(nv_bfloat16* to, float a, float b) {
  *reinterpret_cast<__nv_bfloat162*>(to) = __floats2bfloat162_rn(a, b);
}
static __device__ __forceinline__ void hs_pair(float* to, float a, float b) {
  *reinterpret_cast<float2*>(to) = make_float2(a, b);
}

// A warp's sums as rows of `to`; rows from M on are left out.
template <typename OUT>
static __device__ __forceinline__ void hs_store(OUT* to, const float* sums, int row, int column, int thread) {
  @FINISH@
  int lane = thread & 31, warp = thread >> 5;
  row += warp / ACROSS * MT * 16 + (lane >> 2);
  column += warp % ACROSS * NT * 8 + (lane & 3) * 2;
  #pragma unroll
  for (int half = 0; half < MT * 2; ++half) {
    if (row + half * 8 < M) {
      #pragma unroll
      for (int n = 0; n < NT; ++n) {
        const float* d = sums + (half / 2 * NT + n) * 4 + half % 2 * 2;
        hs_pair(to + (long long)(row + half * 8) * N + column + n * 8, d[0], d[1]);
      }
    }
  }
}
"""


def kernels(sizes: Mapping[str, int], dtype: str) -> str:
    """The functions ``hs_fetch``, ``hs_arrived``, ``hs_product`` and ``hs_store`` of one kernel.

    Args:
        sizes: ``M``, ``N``; ``ROWS`` and ``COLUMNS`` of a block's tile; ``STRIDE``, bytes of a row of either operand;
            ``STEPS``, tiles along k; ``STAGES``, places for them, of which ``AHEAD`` are being filled and the products
            of ``PENDING`` may be under way; ``THREADS`` of a block; ``ACROSS``: warps along the columns; ``MT`` by
            ``NT``: 16 rows by 8 columns of a warp; ``WGMMA``: by warpgroups of 64 rows and all columns (1, sm_90a only)
            or by warps (0; bfloat16 from sm_80, e4m3 from sm_89 on).
        dtype: of the operands, ``bfloat16`` or ``float8_e4m3fn``.
    """
    text = "".join(f"constexpr int {name} = {value};\n" for name, value in sizes.items())
    words = {"SHAPE": MMA_SHAPES[dtype], "FENCE": "", "FINISH": ""}
    if sizes["WGMMA"]:
        columns = sizes["COLUMNS"]
        count = columns // 2
        words = {
            "SHAPE": f"m64n{columns}{WGMMA_SHAPES[dtype]}",
            "SUMS": ", ".join(f"%{at}" for at in range(count)),
            "BOUND": ", ".join(f'"+f"(d[{at}])' for at in range(count)),
            "LEFT": str(count),
            "RIGHT": str(count + 1),
            "ADD": str(count + 2),
            "ORDER": ", 0, 0" if dtype == "bfloat16" else "",
            "FENCE": FENCE,
            "FINISH": FINISH,
        }
    text += COPY + (WGMMA if sizes["WGMMA"] else MMA) + STORE
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
