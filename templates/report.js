// The page has no script yet.
