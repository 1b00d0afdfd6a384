"""All golden files that freeze.py makes."""

import golden_claims
import golden_commands
import golden_documents
import golden_ids
import golden_interrupted
import golden_kernels
import golden_searches
import golden_tables
from golden_files import Golden

GOLDEN: tuple[Golden, ...] = (
    *golden_ids.GOLDEN,
    *golden_tables.GOLDEN,
    *golden_interrupted.GOLDEN,
    *golden_claims.GOLDEN,
    *golden_kernels.GOLDEN,
    *golden_searches.GOLDEN,
    *golden_commands.GOLDEN,
    *golden_documents.GOLDEN,
)
