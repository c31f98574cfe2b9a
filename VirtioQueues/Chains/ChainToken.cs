namespace Paravane.VirtioQueues.Chains;

/// <summary>Names a chain from its taking to its completion: the number of its slot in the queue, 0…size − 1. Good for arrays of request state.</summary>
public readonly record struct ChainToken(ushort Slot);
