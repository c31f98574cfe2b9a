using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues.Chains;

/// <summary>A taken chain: what the driver offered, checked and translated. Readable part first, then writable part.</summary>
/// <remarks>Worker thread only. Buffers stay valid until the chain is completed, so that I/O may be under way in them.</remarks>
public readonly unsafe ref struct Chain
{
    private readonly ChainSlot* _slot;

    internal Chain(ChainSlot* slot, ChainToken token)
    {
        _slot = slot;
        Token = token;
    }

    /// <summary>To complete it with, exactly once.</summary>
    public ChainToken Token { get; }

    /// <summary>Bytes the device may read.</summary>
    public uint ReadableBytes => _slot->ReadableBytes;

    /// <summary>Bytes the device may write.</summary>
    public uint WritableBytes => _slot->WritableBytes;

    /// <summary>What the driver wrote for the device.</summary>
    public BufferList Readable => new(_slot->Buffers, _slot->ReadableCount, _slot->ReadableBytes);

    /// <summary>Room for the device's answer.</summary>
    public BufferList Writable => new(_slot->Buffers + _slot->ReadableCount, _slot->WritableCount, _slot->WritableBytes);
}
