"""Networks as Equinox modules: each maps one example, and batching is the caller's `vmap`."""

from jaxdepth.networks._affine import AffineLayer as AffineLayer, affine_layers as affine_layers
from jaxdepth.networks._composition import (
    Composition as Composition,
    Iterated as Iterated,
    factors as factors,
)
from jaxdepth.networks._deep_linear import DeepLinear as DeepLinear
from jaxdepth.networks._dots import ConnectTheDots as ConnectTheDots
from jaxdepth.networks._factored import Factored as Factored
from jaxdepth.networks._mlp import MLP as MLP
from jaxdepth.networks._overparameterize import (
    collapse as collapse,
    overparameterize as overparameterize,
)
from jaxdepth.networks._padding import keep_padding as keep_padding
from jaxdepth.networks._polynomial import polynomial as polynomial
from jaxdepth.networks._radial import RadialNetwork as RadialNetwork
from jaxdepth.networks._sawtooth import Sawtooth as Sawtooth
from jaxdepth.networks._shallow import ThreeLayer as ThreeLayer, TwoLayer as TwoLayer
from jaxdepth.networks._square import product as product, square as square
