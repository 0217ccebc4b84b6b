return cmsgpack.pack({now})
