using System.Numerics;
using Paravane.VirtioQueues;

namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>Writes the driver side of one virtqueue. Chains have a fixed shape; a slot is one chain with its buffers.</summary>
/// <remarks>In the guest R15 points to <see cref="DriverLayout.Report"/> at all times. Calls are never wanted: the driver polls.</remarks>
internal abstract class QueueCode
{
    protected const int Next = 1, Write = 2;
    private const int VariableBytes = 64;

    /// <summary>Describes a queue.</summary>
    /// <param name="code">Where it is written.</param>
    /// <param name="number">Number among all queues of the guest: where its rings and variables are.</param>
    /// <param name="index">Index in its device.</param>
    /// <param name="slots">Chains, a power of two.</param>
    /// <param name="parts">The descriptors of a chain.</param>
    protected QueueCode(CodeWriter code, int number, int index, int slots, ReadOnlySpan<ChainPart> parts)
    {
        C = code;
        Index = index;
        Slots = slots;
        Parts = parts.ToArray();
        StrideShift = BitOperations.Log2(BitOperations.RoundUpToPowerOf2((uint)parts.Length));
        Size = slots << StrideShift;
        Descriptors = DriverLayout.Rings + ((ulong)number * DriverLayout.RingStride);
        Variables = DriverLayout.Private + 0x100 + (number * VariableBytes);
    }

    /// <summary>Index in the device.</summary>
    public int Index { get; }

    /// <summary>Chains.</summary>
    public int Slots { get; }

    /// <summary>Descriptors that the ring needs.</summary>
    public int Size { get; }

    /// <summary>Guest address of the descriptors.</summary>
    public ulong Descriptors { get; }

    /// <summary>Guest address of the driver's area.</summary>
    public ulong DriverArea => Descriptors + DriverLayout.AreaStride;

    /// <summary>Guest address of the device's area.</summary>
    public ulong DeviceArea => Descriptors + (2 * DriverLayout.AreaStride);

    /// <summary>Variable with the address that a kick is written to.</summary>
    public MemoryOperand NotifyAddress => Variable(VariableBytes - 8);

    /// <summary>Code is written here.</summary>
    protected CodeWriter C { get; }

    /// <summary>The descriptors of a chain.</summary>
    protected ChainPart[] Parts { get; }

    /// <summary>Descriptors kept for a slot, as a power of two.</summary>
    protected int StrideShift { get; }

    private int Variables { get; }

    /// <summary>The queue's code in one of the formats.</summary>
    public static QueueCode Of(RingFormat format, CodeWriter code, int number, int index, int slots, params ReadOnlySpan<ChainPart> parts) =>
        format == RingFormat.Packed ? new PackedQueueCode(code, number, index, slots, parts) : new SplitQueueCode(code, number, index, slots, parts);

    /// <summary>Before the device is started.</summary>
    public abstract void Prepare();

    /// <summary>Makes the chain of slot RAX available; RDX is <see cref="Write"/> or 0 for a part of either direction. RAX stays; uses RCX, RDX, RSI, RDI, R8 to R11.</summary>
    public abstract void Post();

    /// <summary>Takes a used chain: its slot to RAX, the bytes written to RCX. Uses RDI, R8, R9.</summary>
    /// <param name="none">Where to go when there is none.</param>
    /// <param name="foreign">Where to go when it is none of ours.</param>
    public abstract void Take(Label none, Label foreign);

    /// <summary>Tells the device unless it does not want to hear. Uses RCX, RDI.</summary>
    /// <param name="isWord">The register has 16 bits, else 32.</param>
    /// <param name="kicks">Counter.</param>
    public void Kick(bool isWord, MemoryOperand kicks)
    {
        // Full fence: what was made available must be visible before the device's wish is read. Pairs with the device's between its wish and its last look.
        C.Mfence();
        Label quiet = C.NewLabel();
        SkipUnlessWanted(quiet);
        C.Load(Register.Rdi, NotifyAddress, Width.Qword);
        C.Mov(Register.Rcx, Index);
        C.Store(new MemoryOperand(Register.Rdi), Register.Rcx, isWord ? Width.Word : Width.Dword);
        C.Inc(kicks);
        C.Bind(quiet);
    }

    /// <summary>Goes to <paramref name="quiet"/> when the device wants no kick. Uses RCX, RDI.</summary>
    protected abstract void SkipUnlessWanted(Label quiet);

    /// <summary>A variable of the queue.</summary>
    protected MemoryOperand Variable(int offset) => new(Register.R15, Variables + offset);

    /// <summary>Address of <paramref name="part"/> in slot RAX, to RCX.</summary>
    protected void BufferOf(ChainPart part)
    {
        C.Mov(Register.Rcx, Register.Rax);
        C.Shl(Register.Rcx, part.Shift);
        C.Add(Register.Rcx, checked((int)part.Start));
    }
}
