/** Size of the video on a wire, as far as the graph tells it before it has run. */

import { inputsOf, upstream, valueOf, valuesOf } from "./walk.mjs";

const DEEPEST = 60;
const LENGTHS = ["length", "frames", "num_frames", "video_length"];
const LATENT_FIRST = ["latent_image", "samples", "latent", "samples1"];
/** Nodes that leave frames and size as they are. */
const SAME_SIZE = new Set(["GVRFlowDegrade", "GVRSDEditDegrade", "ImageSharpen", "ImageBlur", "ImageInvert"]);

/**
 * A clip, enlarged by the upsample nodes it has passed; `file` names a video whose size has to be asked for.
 * @typedef {{frames?: number, height?: number, width?: number, file?: string, cut?: number, before: object[]}} Size
 */

const whole = (length) => Math.floor((length - 1) / 4) * 4 + 1;
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/**
 * The video behind a LATENT output.
 * @param {{node: object, slot: number}|null} end
 * @returns {Size|null}
 */
export function latentSize(end, depth = 0) {
  if (!end || depth > DEEPEST) return null;
  const { node } = end;
  if (node.type === "GVRLatentCascadeUpsample") {
    const size = latentSize(upstream(node, "samples"), depth + 1);
    const stage = valuesOf(node, ["target", "scale"]);
    return size && stage ? { ...size, before: [...size.before, stage] } : null;
  }
  if (node.type === "GVREncodeVideo") return imageSize(upstream(node, "images"), depth + 1);
  if (/^VAEEncode(Tiled)?$/.test(node.type)) return latentOfImages(imageSize(upstream(node, "pixels"), depth + 1));
  if (node.type === "LatentUpscaleBy") return scaled(latentOf(node, depth), valueOf(node, "scale_by"), 8);
  const made = madeSize(node);
  if (made) return made;
  return latentOf(node, depth);
}

function latentOf(node, depth) {
  const names = inputsOf(node, "LATENT");
  const name = LATENT_FIRST.find((first) => names.includes(first)) ?? names[0];
  return name ? latentSize(upstream(node, name), depth + 1) : null;
}

/** Nodes that make a latent of a given size: empty latents, and conditioning nodes with one. */
function madeSize(node) {
  const width = valueOf(node, "width");
  const height = valueOf(node, "height");
  if (!isNumber(width) || !isNumber(height)) return null;
  const length = LENGTHS.map((name) => valueOf(node, name)).find(isNumber);
  return isNumber(length) ? { frames: whole(length), height, width, before: [] } : null;
}

function latentOfImages(size) {
  if (!size || !isNumber(size.frames)) return null;
  const cells = (side) => Math.floor(side / 8) * 8;
  return { ...size, frames: whole(size.frames), height: cells(size.height), width: cells(size.width) };
}

function scaled(size, factor, step = 1) {
  if (!size || !isNumber(size.width) || !isNumber(factor) || size.before.length) return null;
  const side = (n) => Math.round((n * factor) / step) * step;
  return { ...size, height: side(size.height), width: side(size.width) };
}

/**
 * The frames on an IMAGE output.
 * @param {{node: object, slot: number}|null} end
 * @returns {Size|null}
 */
export function imageSize(end, depth = 0) {
  if (!end || depth > DEEPEST) return null;
  const { node } = end;
  const from = (name) => imageSize(upstream(node, name), depth + 1);
  switch (node.type) {
    case "GVRSampleClip": {
      const size = valuesOf(node, ["frames", "height", "width"]);
      return size && { ...size, before: [] };
    }
    case "EmptyImage": {
      const size = valuesOf(node, ["batch_size", "height", "width"]);
      return size && { frames: size.batch_size, height: size.height, width: size.width, before: [] };
    }
    case "GetVideoComponents":
      return videoSize(upstream(node, "video"));
    case "LoadImage": {
      const image = node.imgs?.[0];
      return image?.naturalWidth ? { frames: 1, height: image.naturalHeight, width: image.naturalWidth, before: [] } : null;
    }
    case "ImageScale": {
      const size = from("image");
      const target = valuesOf(node, ["height", "width"]);
      // A side of 0 keeps the ratio.
      return size && target?.height && target?.width ? { ...size, ...target, before: [], resized: target } : null;
    }
    case "ImageScaleBy":
      return scaled(from("image"), valueOf(node, "scale_by"));
    case "ImageFromBatch": {
      const size = from("image");
      const cut = valuesOf(node, ["batch_index", "length"]);
      if (!size || !cut) return null;
      if (!isNumber(size.frames)) return { ...size, cut: cut.length, start: cut.batch_index };
      return { ...size, frames: Math.max(1, Math.min(cut.length, size.frames - cut.batch_index)) };
    }
    case "RepeatImageBatch": {
      const size = from("image");
      const amount = valueOf(node, "amount");
      return size && isNumber(size.frames) && isNumber(amount) ? { ...size, frames: size.frames * amount } : null;
    }
    case "GVRDecodeVideo":
    case "VAEDecode":
    case "VAEDecodeTiled":
      return latentSize(upstream(node, "samples"), depth + 1);
    default: {
      const [name] = inputsOf(node, "IMAGE");
      return SAME_SIZE.has(node.type) && name ? from(name) : null;
    }
  }
}

function videoSize(end) {
  const file = end?.node.type === "LoadVideo" ? valueOf(end.node, "file") : undefined;
  return typeof file === "string" && file ? { file, before: [] } : null;
}

/**
 * A size with what is known of its file.
 * @param {Size} size
 * @param {{frames: number|null, height: number, width: number}} info of the file
 * @returns {Size|null} null where frames are only known after decoding
 */
export function withFile(size, info) {
  if (!isNumber(info.frames)) return null;
  const { file, cut, start, resized, ...rest } = size;
  const frames = isNumber(cut) ? Math.max(1, Math.min(cut, info.frames - (start ?? 0))) : info.frames;
  return { ...rest, frames, ...(resized ?? { height: info.height, width: info.width }) };
}
