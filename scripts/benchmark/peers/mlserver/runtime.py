"""MLServer's way for a model of one's own: a runtime that decodes its input and answers with one tensor."""

from __future__ import annotations

import numpy as np
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from scripts.benchmark.peers import judge


class Judge(MLModel):  # type: ignore[misc]  # it has no types here
    """Judges the image file in the first input."""

    async def load(self) -> bool:
        """Load the network once a worker."""
        self._judge = judge.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer with the probability."""
        [image] = Base64Codec.decode_input(payload.inputs[0])
        said = np.array([self._judge(image)["probability"]])
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("probability", said)]
        )
