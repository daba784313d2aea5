"""Gates of a mixture of experts and hyper-connections in torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from schedules.operators.hc_head import HcHead
from schedules.operators.hc_post import HcPost
from schedules.operators.hc_pre import HcPre
from schedules.operators.moe_gate import MoeGate
from schedules.operators.moe_hash_gate import MoeHashGate
from schedules.operators.sinkhorn import Sinkhorn
from tuner.bench.torch_ops.made import Ways, function


def scores(logits: torch.Tensor, form: str) -> torch.Tensor:
    """Scores of experts."""
    if form == "sigmoid":
        return torch.sigmoid(logits)
    return F.softplus(logits).sqrt() if form == "sqrtsoftplus" else torch.softmax(logits, -1)


def moe_gate(operator: MoeGate) -> Ways:
    """Scores, ``topk`` of groups and of experts, weights of the chosen."""

    def body(logits: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        score = scores(logits, operator.score)
        value = score + bias
        if operator.groups > 1:
            grouped = value.view(operator.tokens, operator.groups, -1)
            best = grouped.topk(2, -1).values.sum(-1).topk(operator.topk_groups, -1).indices
            out = torch.ones_like(grouped[..., 0], dtype=torch.bool).scatter_(1, best, False)
            value = grouped.masked_fill(out[..., None], float("-inf")).flatten(1)
        index = value.topk(operator.topk, -1).indices
        chosen = score.gather(1, index)
        return index, chosen / chosen.sum(-1, keepdim=True) * operator.scale

    return {"torch.topk": lambda inputs: function(body, inputs, parameters=(1,))}


def moe_hash_gate(operator: MoeHashGate) -> Ways:
    """Rows of the table, and the scores of the experts in them."""

    def body(logits: torch.Tensor, ids: torch.Tensor, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        index = table[ids]
        if operator.score == "softmax":
            chosen = scores(logits, operator.score).gather(1, index.long())
        else:
            chosen = scores(logits.gather(1, index.long()), operator.score)
        return index, chosen / chosen.sum(-1, keepdim=True) * operator.scale

    return {"indexing": lambda inputs: function(body, inputs, parameters=(2,))}


def hc_pre(operator: HcPre) -> Ways:
    """The formula."""
    hc = operator.hc

    def body(
        x: torch.Tensor, mix: torch.Tensor, scale: torch.Tensor, base: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        wide = x.float()
        mix = mix * torch.rsqrt(wide.square().mean((1, 2)) + operator.eps)[:, None]
        pre, post, comb = mix.split([hc, hc, hc * hc], 1)
        pre = torch.sigmoid(pre * scale[0] + base[:hc]) + operator.eps
        post = 2 * torch.sigmoid(post * scale[1] + base[hc : 2 * hc])
        comb = (comb * scale[2] + base[2 * hc :]).view(-1, hc, hc)
        return (pre[..., None] * wide).sum(1).to(x.dtype), post, comb

    return {"the formula": lambda inputs: function(body, inputs, parameters=(2, 3))}


def hc_post(operator: HcPost) -> Ways:
    """The formula, with a small product for each token, or with a sum over streams."""

    def product(y: torch.Tensor, x: torch.Tensor, post: torch.Tensor, comb: torch.Tensor) -> torch.Tensor:
        mixed = torch.bmm(comb.transpose(1, 2), x.float())
        return (post[..., None] * y[:, None].float() + mixed).to(x.dtype)

    def total(y: torch.Tensor, x: torch.Tensor, post: torch.Tensor, comb: torch.Tensor) -> torch.Tensor:
        mixed = (comb[..., None] * x[:, :, None].float()).sum(1)
        return (post[..., None] * y[:, None].float() + mixed).to(x.dtype)

    return {
        "torch.bmm": lambda inputs: function(product, inputs),
        "the formula": lambda inputs: function(total, inputs),
    }


def hc_head(operator: HcHead) -> Ways:
    """The formula."""

    def body(x: torch.Tensor, mix: torch.Tensor, scale: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        mix = mix * torch.rsqrt(wide.square().mean((1, 2)) + operator.eps)[:, None]
        pre = torch.sigmoid(mix * scale + base) + operator.eps
        return (pre[..., None] * wide).sum(1).to(x.dtype)

    return {"the formula": lambda inputs: function(body, inputs, parameters=(2, 3))}


def sinkhorn(operator: Sinkhorn) -> Ways:
    """The iteration, written out."""

    def body(logits: torch.Tensor) -> torch.Tensor:
        m = torch.softmax(logits, -1) + operator.eps
        m = m / (m.sum(1, keepdim=True) + operator.eps)
        for _ in range(operator.iters - 1):
            m = m / (m.sum(2, keepdim=True) + operator.eps)
            m = m / (m.sum(1, keepdim=True) + operator.eps)
        return m

    return {"the formula": lambda inputs: function(body, inputs)}
