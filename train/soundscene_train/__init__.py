"""Where the networks come from: data sets, recipes, training, evaluation and export."""
