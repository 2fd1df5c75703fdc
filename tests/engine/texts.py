"""Cells beyond the built-in ones, which between them use everything that the language has.

`LEAK`, `FUNCTIONS` are the two that tests also compile: every further structure would cost seconds.
"""

LEAK = """
# A leaking memory and what it held a step before. The output reads the old state, so its product follows the loop;
# the gradient of the bias is the state's cotangent as it stands.
param leak: scalar
state past: in
state h: in
output = W @ past + 0.25 * x
past = h
h = leak * h + x + b
"""

FUNCTIONS = """
# Every function and operator; a projection; three states; an output that is none of them.
param a: scalar
param P: proj x hidden
param V: 3 x proj
s = softmax(Wa @ x + Ua @ h)
c = layernorm(a * c + max(s, Wb @ x) + abs(s) / (1 + exp(-s)) + sqrt(1 + s * s) - mean(x) + b_c)
m = sigmoid(min(s, c) - relu(m)) + logsumexp(h) * softplus(b_m - sum(s * c))
h = P @ (c + log(1 + s) * m)
output = tanh(V @ h + b_v) * a
"""

CELLS = {
    "leak": LEAK,
    "functions": FUNCTIONS,
    "flux": "h = tanh(Wxh @ x + Whh @ h + b)",
    "peephole": """
i = sigmoid(Wi_i @ x + Wh_i @ h + P_i * c + b_i)
f = sigmoid(Wi_f @ x + Wh_f @ h + P_f * c + b_f)
c = f * c + i * tanh(Wi_g @ x + Wh_g @ h + b_g)
o = sigmoid(Wi_o @ x + Wh_o @ h + P_o * c + b_o)
h = o * tanh(c)
""",
    "two_biases": """
r = sigmoid(Wi_r @ x + Wh_r @ h + b_r)
z = sigmoid(Wi_z @ x + Wh_z @ h + b_z)
n = tanh(Wi_n @ x + b_n + r * (Wh_n @ h + b_m))
h = (1 - z) * n + z * h
""",
    "minimal": "f = sigmoid(Wf @ x + Uf @ h + b_f)\nh = (1 - f) * h + f * tanh(Wn @ x + Un @ (f * h) + b_n)",
    "projected": """
param P: proj x hidden
state h: proj
g = sigmoid(Wg @ x + Ug @ h + b_g)
c = g * c + (1 - g) * tanh(Wc @ x + Uc @ h)
h = P @ (g * tanh(c))
""",
    "chained": "h = A @ (B @ h) / 2 + Wi @ x\nparam A: hidden x proj",
    "shared": "h = tanh(W @ (W @ h) + V @ x) + W @ b",
    "swapped": "state a: in\nstate b2: in\nb2 = a + x\na = 0.5 * b2 - a * b2\noutput = sum(a) * b2",
    "attention": "k = softmax(Wk @ x)\nh = k * tanh(Wv @ x) + (1 - k) * h\noutput = h / (1 + logsumexp(h))",
    "normed": "h = relu(layernorm(Wi @ x + Wh @ h) * G + b) - abs(min(h, 0.1))",
    "constant": "h = 0.9 * h\noutput = 3",
    "unread": "param G: in\nstate last: in\nlast = G * x",
    "stateless": "param W: 2 x in\noutput = softplus(W @ x) * max(b, 0.5)",
}
