// What the two kernels of an update share: its numbers as src/optim/cuda.rs writes them.
#pragma once

// The numbers of all parameters; those of each follow it, in the order of the trained parameters.
struct UpdateHeader {
  float beta1, rest1, beta2, rest2; // rest = 1 - beta
  float correction2;                // 1 / (1 - beta2^step)
  float eps;
  float clip; // the norm to which longer gradients are scaled down; 0 for no limit
  float unused;
};

struct ParameterRate {
  float coupled_decay; // Adam: added to the gradient
  float keep;          // AdamW: 1 - learning rate * decay
  float step_size;     // learning rate / (1 - beta1^step)
  float unused;
};

// What the norm of the gradients says.
struct Verdict {
  double norm;
  float scale; // of the gradients; LEFT_OUT if nothing may change
  int unused;
};

constexpr float LEFT_OUT = -1.0f;
