"""Radial functions: the measure of Eldan & Shamir and certificates of separation by depth."""

from jaxdepth.radial._bessel import bessel_pair as bessel_pair
from jaxdepth.radial._certify import Bounded as Bounded
from jaxdepth.radial._certify import Certificate as Certificate
from jaxdepth.radial._certify import CertificateResult as CertificateResult
from jaxdepth.radial._certify import certify as certify
from jaxdepth.radial._measure import Measure as Measure
from jaxdepth.radial._targets import AbstractTarget as AbstractTarget
from jaxdepth.radial._targets import Ball as Ball
from jaxdepth.radial._targets import Cosine as Cosine
