"""Inner kernel in CUDA C whose tiles the tensor memory unit copies (sm_90a), beside the warpgroups that multiply.

One warpgroup copies and the others multiply. A place in shared memory has two barriers: ``full`` waits for the bytes of
a step, ``empty`` for the warps that have done with them. Two thread blocks may form a cluster: they have the same
columns, each copies half of these for both, and then a place is empty when the warps of both have done with it.
"""

from __future__ import annotations

from collections.abc import Sequence

# Registers of a thread that copies and of one that multiplies, where two warpgroups multiply and need most of them.
FEWER, MORE = 40, 232

BULK = r"""
struct alignas(128) HsMap { unsigned char bytes[128]; };
extern "C" __constant__ HsMap hs_maps[2];
constexpr int SLOT = (ROWS + COLUMNS) * 128, SHARE = COLUMNS / CLUSTER;

static __device__ __forceinline__ void hs_wait(unsigned barrier, unsigned parity) {
  for (int tries = 0; tries < 1 << 18; ++tries) {
    unsigned done;
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}\n"
                 : "=r"(done) : "r"(barrier), "r"(parity) : "memory");
    if (done) return;
  }
  __trap();
}

// A box of a matrix of bytes into shared memory, of one thread block or of both of a cluster.
static __device__ __forceinline__ void hs_box(
    unsigned to, const HsMap* map, unsigned barrier, int column, int row, bool both) {
  if (both) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
                 "[%0], [%1, {%3, %4}], [%2], %5;\n"
                 :: "r"(to), "l"(map), "r"(barrier), "r"(column), "r"(row), "h"((unsigned short)3) : "memory");
  } else {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %4}], [%2];\n"
                 :: "r"(to), "l"(map), "r"(barrier), "r"(column), "r"(row) : "memory");
  }
}

// A warp has done with a place, for every thread block of the cluster.
static __device__ __forceinline__ void hs_done(unsigned barrier, int thread) {
  if (thread % 32 < CLUSTER) {
    asm volatile("{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\n"
                 "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [there];\n}\n"
                 :: "r"(barrier), "r"(thread % 32) : "memory");
  }
}

static __device__ __forceinline__ void hs_cluster() {
  if (CLUSTER > 1) {
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;\n" ::: "memory");
  }
}

// Sums of two bfloat16 a register, of 32 columns, so that each of four lanes has eight neighbours: 16 bytes.
static __device__ __forceinline__ void hs_turn(unsigned* v, int lane) {
  #pragma unroll
  for (int bit = 1; bit < 4; bit *= 2) {
    bool upper = lane & bit;
    #pragma unroll
    for (int at = 0; at < 4; ++at) {
      if (at & bit) continue;
      unsigned other = __shfl_xor_sync(0xffffffffu, upper ? v[at] : v[at | bit], bit);
      if (upper) v[at] = other; else v[at | bit] = other;
    }
  }
}

static __device__ __forceinline__ void hs_rows(nv_bfloat16* to, const float* sums, int row, int column, int thread) {
  int lane = thread & 31, warp = thread >> 5;
  row += warp * 16 + (lane >> 2);
  #pragma unroll
  for (int half = 0; half < 2; ++half) {
    #pragma unroll
    for (int n = 0; n < NT; n += 4) {
      unsigned v[4];
      #pragma unroll
      for (int at = 0; at < 4; ++at) {
        const float* d = sums + (n + at) * 4 + half * 2;
        __nv_bfloat162 pair = __floats2bfloat162_rn(d[0], d[1]);
        v[at] = *reinterpret_cast<unsigned*>(&pair);
      }
      hs_turn(v, lane);
      nv_bfloat16* place = to + (long long)(row + half * 8) * N + column + (n + (lane & 3)) * 8;
      if (row + half * 8 < M) *reinterpret_cast<uint4*>(place) = make_uint4(v[0], v[1], v[2], v[3]);
    }
  }
}
static __device__ __forceinline__ void hs_rows(float* to, const float* sums, int row, int column, int thread) {
  hs_store(to, sums, row, column, thread);
}

// The whole tile of a thread block.
template <typename OUT>
static __device__ __forceinline__ void hs_stream(OUT* to, void* tiles, @TAKES@int row, int column, int thread) {
  unsigned base = hs_address(tiles), full = base + STAGES * SLOT, empty = full + STAGES * 8;
  if (thread == 0) {
    for (int slot = 0; slot < STAGES; ++slot) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;\n" :: "r"(full + slot * 8) : "memory");
      asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n"
                   :: "r"(empty + slot * 8), "r"(ROWS / 16 * CLUSTER) : "memory");
    }
    asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async;\n" ::: "memory");
  }
  __syncthreads();
  hs_cluster();
  if (thread >= ROWS * 2) {
    @FEWER@
    if (thread == ROWS * 2) {
      unsigned rank = 0;
      if (CLUSTER > 1) asm volatile("mov.u32 %0, %%cluster_ctarank;\n" : "=r"(rank));
      for (int step = 0; step < STEPS; ++step) {
        int slot = step % STAGES;
        unsigned arrived = full + slot * 8, left = base + slot * SLOT, right = left + (ROWS + rank * SHARE) * 128;
        hs_wait(empty + slot * 8, step / STAGES % 2 ^ 1);
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" :: "r"(arrived), "r"(SLOT) : "memory");
        hs_box(left, hs_maps, arrived, step * 128, row, false);
        hs_box(right, hs_maps + 1, arrived, step * 128, column + rank * SHARE, CLUSTER > 1);
      }
    }
  } else {
    @MORE@
    float sums[MT * NT * 4];
    #pragma unroll
    for (int at = 0; at < MT * NT * 4; ++at) sums[at] = 0.0f;
    for (int step = 0; step < STEPS; ++step) {
      hs_wait(full + step % STAGES * 8, step / STAGES % 2);
      @MULTIPLY@;
      if (step >= PENDING) hs_done(empty + (step - PENDING) % STAGES * 8, thread);
    }
    asm volatile("wgmma.wait_group.sync.aligned 0;\n" ::: "memory");
    hs_rows(to, sums, row, column, thread);
  }
  __syncwarp();
  hs_cluster();
}
"""


def stream(cluster: int, heavy: bool, takes: Sequence[str], multiply: str) -> str:
    """The function ``hs_stream``, after those of ``tensor_text.kernels``.

    Args:
        cluster: thread blocks of a cluster, 1 or 2.
        heavy: whether two warpgroups multiply and need more registers than an even share.
        takes: further parameters of it, each with its type.
        multiply: the call that multiplies the tiles of ``step`` into ``sums``.
    """
    words = {
        "TAKES": "".join(f"{each}, " for each in takes),
        "MULTIPLY": multiply,
        "FEWER": f'asm volatile("setmaxnreg.dec.sync.aligned.u32 {FEWER};\\n");' if heavy else "",
        "MORE": f'asm volatile("setmaxnreg.inc.sync.aligned.u32 {MORE};\\n");' if heavy else "",
    }
    text = f"constexpr int CLUSTER = {cluster};\n" + BULK
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
