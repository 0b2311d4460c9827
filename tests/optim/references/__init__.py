"""Update rules in NumPy float64, each written from its paper, one family a file.

Every rule is one step, in one of two forms. For one array, as in `tests/optim/reference.py`:
`step(w, g, s, *, t, lr, …) -> w`. For the whole model, where a rule needs a sum over all arrays:
`step(ws, gs, s, *, t, lr, …) -> ws`, with one state for all. What is not an optimizer by itself (a
clip, a mask, an average) is a plain function of arrays.
"""
