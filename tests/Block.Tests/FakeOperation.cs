namespace Paravane.Backends.Block.Tests;

/// <summary>What a fake disk is asked to do.</summary>
internal enum FakeKind
{
    Read,
    Write,
    Sync,
    Allocate,
}

/// <summary>One operation on a fake disk.</summary>
/// <param name="Kind">What to do.</param>
/// <param name="Position">First byte on the disk.</param>
/// <param name="LengthBytes">Bytes asked for.</param>
/// <param name="Durable">A write that must be durable when it completes.</param>
/// <param name="NoWait">May not wait.</param>
internal readonly record struct FakeOperation(FakeKind Kind, ulong Position, uint LengthBytes, bool Durable, bool NoWait);
