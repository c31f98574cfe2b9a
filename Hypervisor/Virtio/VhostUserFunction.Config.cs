using System.Diagnostics;
using Paravane.Hypervisor.Frontend;

namespace Paravane.Hypervisor.Virtio;

/// <content>Configuration: cached for the guest, which never waits for it.</content>
internal sealed partial class VhostUserFunction
{
    /// <summary>Least time between two looks at the back-end's configuration, however often it says that it changed (threats H2).</summary>
    private static readonly TimeSpan s_configInterval = TimeSpan.FromMilliseconds(100);

    /// <summary>What the driver has written in its session and a new back-end has to be told again. Device thread.</summary>
    private readonly SortedDictionary<int, byte> _writtenConfig = [];

    /// <summary>What the guest reads. Replaced under <see cref="_gate"/>.</summary>
    private volatile ConfigState _config;

    /// <summary>Bytes that wait to be told to the back-end, by offset: at most as many as there are. Guarded by <see cref="_gate"/>.</summary>
    private SortedDictionary<int, byte>? _configWrites;

    /// <summary>What it was when the driver started. Device thread.</summary>
    private ConfigState? _configAtStart;

    private bool _isConfigStale; // the back-end said that it changed
    private long _configReadAt;

    /// <inheritdoc/>
    public event Action? ConfigChanged;

    /// <inheritdoc/>
    public int ConfigLengthBytes => _config.Bytes.Length;

    /// <inheritdoc/>
    public byte ConfigGeneration => _config.Generation;

    /// <summary>
    /// The back-end knows what the driver has chosen by command. A successor does only when its rings run: the record of requests under way tells it, and the
    /// control queue is who asks.
    /// </summary>
    private bool KnowsDriversChoice => !_isStarted || _queues.Values.Any(queue => queue.IsRunning);

    private long ConfigReadDue => _isConfigStale && KnowsDriversChoice ? _configReadAt + (long)(s_configInterval.TotalSeconds * Stopwatch.Frequency) : long.MaxValue;

    private bool IsConfigReadDue => Stopwatch.GetTimestamp() >= ConfigReadDue;

    /// <inheritdoc/>
    public void ReadConfig(uint offsetBytes, Span<byte> data)
    {
        ReadOnlySpan<byte> bytes = _config.Bytes;
        data.Clear();
        if (offsetBytes < (uint)bytes.Length)
        {
            ReadOnlySpan<byte> rest = bytes[(int)offsetBytes..];
            rest[..Math.Min(rest.Length, data.Length)].CopyTo(data);
        }
    }

    /// <inheritdoc/>
    /// <remarks>The guest reads at once what it wrote, where it may; the back-end learns of it a moment later.</remarks>
    public void WriteConfig(uint offsetBytes, ReadOnlySpan<byte> data)
    {
        lock (_gate)
        {
            byte[] bytes = [.. _config.Bytes];
            bool isTaken = false;
            for (int i = 0; i < data.Length && offsetBytes + (ulong)i < (ulong)bytes.Length; i++)
            {
                int at = (int)offsetBytes + i;
                if (_shape.TakesWrite(at, data[i]))
                {
                    if (_configWrites is null)
                    {
                        SortedDictionary<int, byte> writes = _configWrites = [];
                        Post(() => TellConfig(writes));
                    }

                    _configWrites[at] = data[i];
                    bytes[at] = data[i];
                    isTaken = true;
                }
            }

            if (isTaken)
            {
                _config = _config with { Bytes = bytes };
            }
        }
    }

    private void NoteConfigChange() => _isConfigStale = true;

    private void TellConfig(SortedDictionary<int, byte> writes)
    {
        lock (_gate)
        {
            _configWrites = _configWrites == writes ? null : _configWrites; // nobody adds to it from here on
        }

        foreach ((int offset, byte value) in writes)
        {
            _writtenConfig[offset] = value;
        }

        _ = Attempt(() => SendConfig(writes));
    }

    /// <summary>SET_CONFIG for each run of neighbouring bytes. What is refused comes back to the guest as a change.</summary>
    private void SendConfig(SortedDictionary<int, byte> writes)
    {
        int[] offsets = [.. writes.Keys];
        byte[] values = [.. writes.Values];
        for (int start = 0, end; start < offsets.Length; start = end)
        {
            for (end = start + 1; end < offsets.Length && offsets[end] == offsets[end - 1] + 1; end++)
            {
            }

            try
            {
                _frontend!.WriteConfig(offsets[start], values.AsSpan(start, end - start));
            }
            catch (FrontendException refusal) when (_frontend!.IsUsable)
            {
                Counters.CountRefusal(refusal.Message);
                _isConfigStale = true;
                foreach (int offset in offsets.AsSpan(start, end - start))
                {
                    _writtenConfig.Remove(offset);
                }
            }
        }
    }

    /// <summary>A reset takes back what the driver has written and commanded: no driver may read it any more once it hears that the reset is done.</summary>
    private void ForgetDriversConfig()
    {
        bool mayDiffer = _isConfigStale || _writtenConfig.Count > 0 || _config != _configAtStart;
        _writtenConfig.Clear();
        if (mayDiffer)
        {
            _ = Attempt(ReadConfigAgain); // without a back-end its successor is asked when it comes
        }
    }

    /// <summary>Brings a new back-end to where the old one was, and the guest to what the new one says.</summary>
    private void RestoreConfig()
    {
        if (_writtenConfig.Count > 0)
        {
            SendConfig(_writtenConfig);
        }

        ReadConfigAgain();
    }

    private void ReadConfigAgain()
    {
        bool takesAddress = KnowsDriversChoice;
        _isConfigStale = false;
        _configReadAt = Stopwatch.GetTimestamp();
        byte[]? fresh = null;
        try
        {
            fresh = _shape.Ask(_frontend!);
        }
        catch (FrontendException refusal) when (_frontend!.IsUsable)
        {
            Counters.CountRefusal(refusal.Message);
        }

        if (fresh is null)
        {
            return;
        }

        bool hasChanged;
        lock (_gate)
        {
            byte[] merged = _shape.Merge(_config.Bytes, fresh, takesAddress);
            _isConfigStale = _shape.Merge(merged, fresh, takesAddress: true) != merged; // what does not count yet is looked at again
            foreach ((int offset, byte value) in _configWrites ?? [])
            {
                merged[offset] = value; // on its way
            }

            hasChanged = !merged.AsSpan().SequenceEqual(_config.Bytes);
            if (hasChanged)
            {
                _config = new ConfigState(merged, (byte)(_config.Generation + 1));
            }
        }

        if (hasChanged)
        {
            Counters.CountConfigChange();
            ConfigChanged?.Invoke();
        }
    }

    /// <summary>Bytes and their number in one object, so that no reader ever sees the one without the other.</summary>
    private sealed record ConfigState(byte[] Bytes, byte Generation);
}
