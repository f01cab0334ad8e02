"""Raster files -> pixels: PNG, JPEG, WebP, GIF, AVIF, TIFF and BMP, decoded by Pillow."""
