"""The tables and the figure of Pham et al. (arXiv 2106.06838), trained again, beside what the paper prints."""
