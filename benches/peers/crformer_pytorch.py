"""CRFormer in plain PyTorch: the peer that the engine is measured against, with the engine's own parameter names.

Maps are [B, H, W, C] between modules, so that every 1x1 projection is a Linear and every convolution sees
channels-last memory without a copy. `attention` chooses how softmax(q k^T) v is computed: "sdpa" is
F.scaled_dot_product_attention, "math" writes the scores out, "mixed" uses "math" inside Swin windows only.
"""

import json
import math

import torch
import torch.nn.functional as F
from torch import nn

DEFAULTS = {
    "image_size": 480, "max_tokens": 20, "vocab_size": 30522, "text_positions": 512, "text_types": 2,
    "text_layers": 12, "text_width": 768, "text_heads": 12, "text_hidden": 3072, "patch_size": 4,
    "swin_width": 128, "swin_depths": [2, 2, 18, 2], "swin_heads": [4, 8, 16, 32], "swin_window": 12,
    "swin_mlp_ratio": 4, "width": 512, "queries": 24, "decoder_layers": 3, "decoder_heads": 8,
    "decoder_hidden": 2048, "calibration": True, "reconstruction": True, "detach_words": False,
    "drop_path": 0.3, "dropout": 0.0, "class_weights": [0.9, 1.1], "w_seg": 1.0, "w_re": 0.1,
}


def read_config(path=None):
    """The sizes of a model: `config.json` over the paper's values."""
    config = dict(DEFAULTS)
    if path is not None:
        with open(path, encoding="utf-8") as file:
            given = json.load(file)
        unknown = sorted(set(given) - set(config))
        if unknown:
            raise ValueError(f"{path}: unknown keys {unknown}")
        config.update(given)
    return config


def attend(q, k, v, bias, how):
    """softmax(q k^T / sqrt(D) + bias) v over [B, heads, rows, D]; `bias` broadcasts to the scores, or is None."""
    if bias is not None:
        bias = bias.to(q.dtype)
    if how == "sdpa":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if bias is not None:
        scores.add_(bias)  # in place: nothing reads the raw scores again
    return scores.softmax(-1) @ v


class Mlp(nn.Module):
    def __init__(self, width, hidden, activation):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.activation = activation
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(self.activation(self.fc1(x)))


class SelfAttention(nn.Module):
    """Multi-head self attention over [B, rows, C]."""

    def __init__(self, width, heads, how):
        super().__init__()
        self.heads, self.how = heads, how
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x, bias=None):
        B, N, C = x.shape
        q, k, v = self.qkv(x).view(B, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(attend(q, k, v, bias, self.how).transpose(1, 2).reshape(B, N, C))


class CrossAttention(nn.Module):
    """Multi-head attention from [B, rows, C] to [B, keys, C]."""

    def __init__(self, width, heads, how):
        super().__init__()
        self.heads, self.how = heads, how
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x, memory):
        B, N, C = x.shape
        q = self.query(x).view(B, N, self.heads, C // self.heads).transpose(1, 2)
        k, v = self.key_value(memory).view(B, -1, 2, self.heads, C // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(attend(q, k, v, None, self.how).transpose(1, 2).reshape(B, N, C))


# ---- text: BERT ------------------------------------------------------------------------------------------------------


class TextEmbeddings(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.word = nn.Embedding(c["vocab_size"], c["text_width"])
        self.position = nn.Embedding(c["text_positions"], c["text_width"])
        self.token_type = nn.Embedding(c["text_types"], c["text_width"])
        self.norm = nn.LayerNorm(c["text_width"], eps=1e-12)

    def forward(self, tokens):
        return self.norm(self.word(tokens) + (self.position.weight[: tokens.shape[1]] + self.token_type.weight[0]))


class TextLayer(nn.Module):
    def __init__(self, c, how):
        super().__init__()
        self.attn = SelfAttention(c["text_width"], c["text_heads"], how)
        self.attn_norm = nn.LayerNorm(c["text_width"], eps=1e-12)
        self.mlp = Mlp(c["text_width"], c["text_hidden"], nn.GELU())
        self.mlp_norm = nn.LayerNorm(c["text_width"], eps=1e-12)

    def forward(self, x, word_bias):
        x = self.attn_norm(x + self.attn(x, word_bias))
        return self.mlp_norm(x + self.mlp(x))


class TextEncoder(nn.Module):
    def __init__(self, c, how):
        super().__init__()
        self.embeddings = TextEmbeddings(c)
        self.layers = nn.ModuleList(TextLayer(c, how) for _ in range(c["text_layers"]))
        self.proj = nn.Linear(c["text_width"], c["width"])
        if c["reconstruction"]:
            self.global_proj = nn.Linear(c["text_width"], c["width"])

    def forward(self, tokens, word_bias):
        """[B, L] ids -> T [B, L, text width] and F_t [B, L, C]."""
        x = self.embeddings(tokens)
        for layer in self.layers:
            x = layer(x, word_bias)
        return x, self.proj(x)


# ---- image: Swin -----------------------------------------------------------------------------------------------------


def window_partition(x, w):
    """[B, H, W, C] -> [B * windows, w * w, C]."""
    B, H, W, C = x.shape
    return x.view(B, H // w, w, W // w, w, C).transpose(2, 3).reshape(-1, w * w, C)


def window_reverse(x, w, B, H, W):
    """The inverse of `window_partition`."""
    return x.view(B, H // w, W // w, w, w, -1).transpose(2, 3).reshape(B, H, W, -1)


def region_bias(padded, w):
    """[windows, w * w, w * w]: -100 between positions of a rolled map that were not neighbours before the roll."""
    row = torch.arange(padded)
    band = (row >= padded - w).long() + (row >= padded - w // 2).long()
    region = window_partition((3 * band[:, None] + band[None, :]).view(1, padded, padded, 1), w).squeeze(-1)
    return torch.where(region[:, :, None] == region[:, None, :], 0.0, -100.0).double()


def relative_position_index(w):
    """[w * w, w * w]: the row of the bias table for query minus key."""
    place = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(w), indexing="ij")).flatten(1)
    dy, dx = place[:, :, None] - place[:, None, :] + w - 1
    return dy * (2 * w - 1) + dx


class WindowAttention(nn.Module):
    def __init__(self, width, heads, w, how):
        super().__init__()
        self.heads, self.w, self.how = heads, w, "math" if how == "mixed" else how
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.relative_position_bias = nn.Embedding((2 * w - 1) ** 2, heads)
        self.register_buffer("index", relative_position_index(w), persistent=False)
        self.fixed = None

    def bias(self, regions):
        """[1 or windows, heads, w * w, w * w]: the table by place, and the regions in shifted blocks."""
        table = self.relative_position_bias(self.index).permute(2, 0, 1).unsqueeze(0)
        return table.contiguous() if regions is None else table + regions.unsqueeze(1)

    def forward(self, x, regions):
        """[B * windows, w * w, C]; `regions` [windows, w * w, w * w] in shifted blocks, else None."""
        M, N, C = x.shape
        q, k, v = self.qkv(x).view(M, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.bias(regions) if self.fixed is None else self.fixed
        if bias.shape[0] not in (1, M):
            # Windows stand beside the heads, so that pictures share their biases: they would be copied else.
            q, k, v = (x.reshape(M // bias.shape[0], -1, N, C // self.heads) for x in (q, k, v))
            bias = bias.reshape(1, -1, N, N)
        out = attend(q, k, v, bias, self.how).view(M, self.heads, N, C // self.heads)
        return self.proj(out.transpose(1, 2).reshape(M, N, C))


class SwinBlock(nn.Module):
    def __init__(self, width, heads, side, shifted, drop_path, c, how):
        super().__init__()
        w = c["swin_window"]
        self.w, self.shift = w, w // 2 if shifted and side > w else 0
        self.pad, self.drop_path = -side % w, drop_path
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, w, how)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, width * c["swin_mlp_ratio"], nn.GELU())

    def kept(self, branch):
        """Stochastic depth: one draw per sample."""
        if self.drop_path == 0.0 or not self.training:
            return branch
        keep = 1.0 - self.drop_path
        draw = branch.new_empty(branch.shape[0], 1, 1, 1).bernoulli_(keep).div_(keep)
        return branch * draw

    def forward(self, x, regions):
        B, H, W, _ = x.shape
        y = self.norm1(x)
        if self.pad:
            y = F.pad(y, (0, 0, 0, self.pad, 0, self.pad))
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
        y = self.attn(window_partition(y, self.w), regions if self.shift else None)
        y = window_reverse(y, self.w, B, H + self.pad, W + self.pad)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        if self.pad:
            y = y[:, :H, :W]
        x = x + self.kept(y)
        return x + self.kept(self.mlp(self.norm2(x)))


class PatchMerging(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x):
        B, H, W, C = x.shape
        x = x.view(B, H // 2, 2, W // 2, 2, C).permute(0, 1, 3, 4, 2, 5)  # neighbours as (0,0), (1,0), (0,1), (1,1)
        return self.reduction(self.norm(x.reshape(B, H // 2, W // 2, 4 * C)))


class SwinStage(nn.Module):
    def __init__(self, s, rates, c, how):
        super().__init__()
        width, side = c["swin_width"] << s, c["image_size"] // c["patch_size"] >> s
        if s > 0:
            self.merge = PatchMerging(width // 2)
        self.blocks = nn.ModuleList(
            SwinBlock(width, c["swin_heads"][s], side, i % 2 == 1, rate, c, how) for i, rate in enumerate(rates)
        )
        w = c["swin_window"]
        regions = region_bias(side + -side % w, w) if side > w else None
        self.register_buffer("regions", regions, persistent=False)

    def forward(self, x):
        if hasattr(self, "merge"):
            x = self.merge(x)
        for block in self.blocks:
            x = block(x, self.regions)
        return x


class PatchEmbedding(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.proj = nn.Conv2d(3, c["swin_width"], c["patch_size"], stride=c["patch_size"])
        self.norm = nn.LayerNorm(c["swin_width"])

    def forward(self, image):
        return self.norm(self.proj(image).permute(0, 2, 3, 1))


class Swin(nn.Module):
    def __init__(self, c, how):
        super().__init__()
        depths = c["swin_depths"]
        rates = torch.linspace(0, c["drop_path"], sum(depths), dtype=torch.float64).split(depths)
        self.patch_embed = PatchEmbedding(c)
        self.stages = nn.ModuleList(SwinStage(s, rates[s].tolist(), c, how) for s in range(4))


class Fusion(nn.Module):
    """Vision-language fusion of one stage, eq. 2: every place of the map attends to the words, one head."""

    def __init__(self, visual_width, width, how):
        super().__init__()
        self.how = how
        self.norm = nn.LayerNorm(visual_width)
        self.query = nn.Linear(visual_width, visual_width)
        self.key = nn.Linear(width, visual_width)
        self.value = nn.Linear(width, visual_width)
        self.out = nn.Linear(visual_width, visual_width)

    def forward(self, V, words, word_bias):
        q = self.query(self.norm(V)).flatten(1, 2).unsqueeze(1)
        k, v = self.key(words).unsqueeze(1), self.value(words).unsqueeze(1)
        return self.out(attend(q, k, v, word_bias, self.how)).view(V.shape)


# ---- neck, queries, decoder ------------------------------------------------------------------------------------------


class Neck(nn.Module):
    """Eq. 3 to 6: the three fused maps on the grid of stage 3, with coordinates."""

    def __init__(self, c):
        super().__init__()
        C, first = c["width"], c["swin_width"]
        self.v4, self.m4 = nn.Linear(8 * first, C), nn.Linear(C, C)
        self.v3, self.m3 = nn.Linear(4 * first, C), nn.Linear(2 * C, C)
        self.v2, self.aggregate = nn.Linear(2 * first, C), nn.Linear(5 * C, C)
        self.coord = nn.Conv2d(C + 2, C, 3, padding=1)
        side = c["image_size"] // c["patch_size"] >> 2
        line = torch.linspace(-1, 1, side, dtype=torch.float64)
        xy = torch.stack((line.expand(side, side), line[:, None].expand(side, side)), -1)
        self.register_buffer("xy", xy.unsqueeze(0).contiguous(), persistent=False)

    def forward(self, F_v2, F_v3, F_v4):
        v4 = F.relu(self.v4(F_v4)).permute(0, 3, 1, 2)
        m4 = F.interpolate(v4, scale_factor=2, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
        m3 = torch.cat((F.relu(self.m4(m4)), F.relu(self.v3(F_v3))), -1)
        v2 = F.avg_pool2d(F_v2.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        m2 = torch.cat((F.relu(self.m3(m3)), F.relu(self.v2(v2))), -1)
        m = self.aggregate(torch.cat((m2, m3, m4), -1))
        xy = self.xy.to(m.dtype).expand(m.shape[0], -1, -1, -1)
        return self.coord(torch.cat((m, xy), -1).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class QueryGeneration(nn.Module):
    """Eq. 7 to 9: queries that are mixtures of words, chosen by the map."""

    def __init__(self, c, calibration=False):
        super().__init__()
        C, side = c["width"], c["image_size"] // c["patch_size"] >> 2
        self.conv = nn.Conv2d(C, c["queries"], 3, padding=1)
        self.spatial = nn.Linear(side * side, C)
        self.word = nn.Linear(C, C)
        self.value = nn.Linear(C, C)
        if calibration:
            self.alpha = nn.Parameter(torch.ones(1))

    def forward(self, words, x, word_bias):
        """words [B, L, C], x [B, Hv, Wv, C] -> [B, Nq, C]; `word_bias` [B, 1, L]."""
        U = F.relu(self.spatial(self.conv(x.permute(0, 3, 1, 2)).flatten(2)))
        a = U @ F.relu(self.word(words)).transpose(1, 2) + word_bias
        return a.softmax(-1).to(U.dtype) @ F.relu(self.value(words))


class DecoderLayer(nn.Module):
    def __init__(self, c, calibrated, how):
        super().__init__()
        C, self.dropout = c["width"], c["dropout"]
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(C), nn.LayerNorm(C), nn.LayerNorm(C)
        self.self_attn = SelfAttention(C, c["decoder_heads"], how)
        self.cross_attn = CrossAttention(C, c["decoder_heads"], how)
        self.mlp = Mlp(C, c["decoder_hidden"], nn.ReLU())
        if calibrated:
            self.calibration = QueryGeneration(c, calibration=True)

    def forward(self, x, queries):
        x = x + F.dropout(self.self_attn(self.norm1(x)), self.dropout, self.training)
        x = x + F.dropout(self.cross_attn(self.norm2(x), queries), self.dropout, self.training)
        return x + F.dropout(self.mlp(self.norm3(x)), self.dropout, self.training)


class Decoder(nn.Module):
    """Eq. 10 to 12: the map reads the queries, the queries are calibrated by the map."""

    def __init__(self, c, how):
        super().__init__()
        last = c["decoder_layers"] - 1
        self.layers = nn.ModuleList(
            DecoderLayer(c, c["calibration"] and (n < last or c["reconstruction"]), how) for n in range(last + 1)
        )

    def forward(self, x, queries, words, word_bias, with_last_queries):
        """x [B, Hv, Wv, C] -> the same, and the last queries if asked for (only the reconstruction reads them)."""
        shape, last = x.shape, len(self.layers) - 1
        x = x.flatten(1, 2)
        for n, layer in enumerate(self.layers):
            x = layer(x, queries)
            if hasattr(layer, "calibration") and (n < last or with_last_queries):
                new = layer.calibration(words, x.view(shape), word_bias)
                queries = torch.addcmul(queries, layer.calibration.alpha, new)
        return x.view(shape), queries


class Reconstruction(nn.Module):
    """Eq. 13 and 14: what the queries and the words each say, as one vector a sample."""

    def __init__(self, C):
        super().__init__()
        self.queries = nn.ModuleList(nn.Linear(C, C) for _ in range(3))
        self.words = nn.ModuleList(nn.Linear(C, C) for _ in range(3))

    @staticmethod
    def mlp(layers, x):
        return layers[2](F.relu(layers[1](F.relu(layers[0](x)))))

    def forward(self, queries, words, word_mask):
        F_re = self.mlp(self.queries, queries).mean(1)
        share = word_mask / word_mask.sum(1, keepdim=True)
        F_pt = (F.relu(self.mlp(self.words, words)) * share.unsqueeze(-1)).sum(1)
        return F_re, F_pt


def sine(length, width):
    """PE1d [length, width] in float64."""
    k = torch.arange(0, width, 2, dtype=torch.float64)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * torch.exp(k * (-math.log(10000.0) / width))
    return torch.stack((angle.sin(), angle.cos()), -1).flatten(1)


class CRFormer(nn.Module):
    """The whole model. Buffers are float64 until `.to(dtype)`."""

    def __init__(self, config, attention="sdpa"):
        super().__init__()
        c = self.config = config
        how = "sdpa" if attention == "mixed" else attention
        C, side = c["width"], c["image_size"] // c["patch_size"] >> 2
        self.text = TextEncoder(c, how)
        self.visual = Swin(c, attention)
        self.fusion = nn.ModuleDict({str(s): Fusion(c["swin_width"] << s, C, how) for s in (1, 2, 3)})
        self.neck = Neck(c)
        self.query = QueryGeneration(c)
        self.decoder = Decoder(c, how)
        self.head = nn.Conv2d(C, 2, 3, padding=1)
        if c["reconstruction"]:
            self.reconstruction = Reconstruction(C)
        half = sine(side, C // 2)
        grid = torch.cat((half.expand(side, side, -1), half[:, None].expand(side, side, -1)), -1)
        self.register_buffer("map_positions", grid.contiguous(), persistent=False)
        self.register_buffer("query_positions", sine(c["queries"], C), persistent=False)
        self.register_buffer("word_positions", sine(c["max_tokens"], C), persistent=False)
        self.register_buffer("class_weights", torch.tensor(c["class_weights"], dtype=torch.float64), persistent=False)

    def draw_weights(self):
        """New weights: truncated normal by fan in, embeddings and position biases normal 0.02, norms as they are."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                std = module.weight[0].numel() ** -0.5
                nn.init.trunc_normal_(module.weight, 0.0, std, -2 * std, 2 * std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, 0.0, 0.02)
        return self

    @torch.no_grad()
    def fix_biases(self):
        """For inference with weights that no longer change: window biases made once (about 160 MB at full size)."""
        for stage in self.visual.stages:
            for block in stage.blocks:
                block.attn.fixed = block.attn.bias(stage.regions if block.shift else None)

    def visual_maps(self, image, words, word_bias):
        """F_v2, F_v3, F_v4: stage and fusion in turn, each stage fed by the fusion before it."""
        x = self.visual.stages[0](self.visual.patch_embed(image))
        maps = []
        for s in (1, 2, 3):
            x = self.visual.stages[s](x)
            maps.append(self.fusion[str(s)](x, words, word_bias))
            if s < 3:
                x = x + F.relu(maps[-1])
        return maps

    def forward(self, image, tokens, word_mask, truth=None):
        """image [B, 3, S, S], tokens and word_mask [B, L] -> logits [B, 2, S, S] and, with truth [B, S, S], losses.

        Without `truth` the reconstruction and what only feeds it are not computed.
        """
        c = self.config
        rebuild = c["reconstruction"] and truth is not None
        dtype = self.map_positions.dtype
        bias = torch.zeros_like(word_mask, dtype=dtype).masked_fill_(word_mask == 0, float("-inf"))[:, None, :]
        T, words = self.text(tokens, bias[:, None])
        F_v = self.neck(*self.visual_maps(image, words, bias[:, None]))
        queries = self.query(words, F_v, bias) + self.query_positions
        positioned = words + self.word_positions[: words.shape[1]]
        F_dec, queries = self.decoder(F_v + self.map_positions, queries, positioned, bias, rebuild)
        grid = self.head(F_dec.permute(0, 3, 1, 2)).contiguous()  # two channels: planes interpolate faster
        logits = F.interpolate(grid, size=image.shape[-2:], mode="bilinear", align_corners=True)
        if truth is None:
            return logits
        losses = {"seg": F.cross_entropy(logits, truth.long(), self.class_weights)}
        losses["total"] = c["w_seg"] * losses["seg"]
        if rebuild:
            tokens_and_all = torch.cat((words, self.text.global_proj(T[:, :1])), 1)
            present = F.pad(word_mask.to(dtype), (0, 1), value=1.0)
            F_re, F_pt = self.reconstruction(queries, tokens_and_all, present)
            losses["re"] = F.mse_loss(F_re, F_pt.detach() if c["detach_words"] else F_pt)
            losses["total"] = losses["total"] + c["w_re"] * losses["re"]
        return logits, losses
