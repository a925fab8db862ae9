"""The serving container: decodes an image, classifies it and answers; imports only itself."""
