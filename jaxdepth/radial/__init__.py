"""Radial functions: the measure of Eldan & Shamir and certificates of separation by depth."""

from jaxdepth.radial._approximate import Approximation as Approximation, approximate as approximate
from jaxdepth.radial._bessel import bessel_pair as bessel_pair
from jaxdepth.radial._bounded import Bounded as Bounded
from jaxdepth.radial._certificate import (
    AbstractCertifier as AbstractCertifier,
    Certificate as Certificate,
    CertificateResult as CertificateResult,
    MinDirections as MinDirections,
)
from jaxdepth.radial._certified import Certified as Certified
from jaxdepth.radial._certify import certify as certify, min_directions as min_directions
from jaxdepth.radial._harden import Hardened as Hardened, harden as harden
from jaxdepth.radial._measure import Measure as Measure
from jaxdepth.radial._pieces import (
    Profile as Profile,
    Shells as Shells,
    SignCosine as SignCosine,
)
from jaxdepth.radial._reach import reach as reach
from jaxdepth.radial._ridge import ridge_error as ridge_error
from jaxdepth.radial._risk import (
    ContradictionError as ContradictionError,
    Risk as Risk,
    RiskResult as RiskResult,
    check_floor as check_floor,
    risk as risk,
)
from jaxdepth.radial._targets import (
    AbstractTarget as AbstractTarget,
    Ball as Ball,
    Cosine as Cosine,
    Segments as Segments,
)
