"""Why a credit is what it is and why there is none: facts as they were known, rules tried on them, arithmetic computed again."""
