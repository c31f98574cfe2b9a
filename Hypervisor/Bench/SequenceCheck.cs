namespace Paravane.Hypervisor.Bench;

/// <summary>Which numbered frames are on their way, and whether those that arrive were sent, are new, and come in order.</summary>
internal sealed class SequenceCheck
{
    private readonly bool[] _onTheWay;
    private readonly ulong _mask;
    private ulong _nextToSend;
    private ulong _nextExpected;

    /// <summary>Has room for twice <paramref name="window"/> frames on their way.</summary>
    public SequenceCheck(int window)
    {
        uint slots = System.Numerics.BitOperations.RoundUpToPowerOf2((uint)window * 2);
        _onTheWay = new bool[slots];
        _mask = slots - 1;
    }

    /// <summary>How a frame arrived.</summary>
    public enum Arrival : byte
    {
        /// <summary>As it should.</summary>
        InOrder,

        /// <summary>It was never sent, or not lately.</summary>
        Unknown,

        /// <summary>It had arrived before.</summary>
        Duplicate,

        /// <summary>A later one had arrived before it.</summary>
        Late,
    }

    /// <summary>Frames that were overtaken by the window and can only be lost.</summary>
    public long Overtaken { get; private set; }

    /// <summary>Numbers the next frame.</summary>
    public ulong Send()
    {
        ulong sequence = _nextToSend++;
        ref bool slot = ref _onTheWay[sequence & _mask];
        Overtaken += slot ? 1 : 0;
        slot = true;
        return sequence;
    }

    /// <summary>Books an arrival. A gap is no fault here: what is missing stays on its way and may arrive late, or never.</summary>
    public Arrival Receive(ulong sequence)
    {
        if (sequence >= _nextToSend || _nextToSend - sequence > (ulong)_onTheWay.Length)
        {
            return Arrival.Unknown;
        }

        ref bool slot = ref _onTheWay[sequence & _mask];
        if (!slot)
        {
            return Arrival.Duplicate;
        }

        slot = false;
        if (sequence < _nextExpected)
        {
            return Arrival.Late;
        }

        _nextExpected = sequence + 1;
        return Arrival.InOrder;
    }
}
