// Two videos that play as one: the first leads, the second is kept with it by small changes of its speed.

const SETTLED = 0.03; // frames: a distance nobody sees
const GAIN = 6; // share of the distance made up for in a second
const MOST = 0.5; // largest change of speed while catching up
const LOST = 3; // frames: farther apart, both stop and start again together
const EVERY = 80; // milliseconds between corrections
const LEARNING = 0.08; // weight of a new frame in what is known of the pictures' distance beside the clocks'
const BELIEVED = 0.6; // frames: less of it is taken for the display's rhythm

/**
 * @typedef {object} PairOptions
 * @property {number} frames Number of frames of each.
 * @property {number} fps Frames per second.
 * @property {() => void} onChange Called when the frame, or whether it plays, has changed.
 */

export class VideoPair {
    #stop = new AbortController();
    #wanted = null;
    #seeking = null;
    #callbacks = [0, 0];
    #presented = [null, null];
    #late = 0;
    #corrected = 0;
    #starts = 0;

    /**
     * @param {HTMLVideoElement} a
     * @param {HTMLVideoElement} b
     * @param {PairOptions} options
     */
    constructor(a, b, { frames, fps, onChange }) {
        Object.assign(this, { a, b, frames, fps, onChange });
        /** Index of the frame that is shown, from 0. */
        this.frame = 0;
        this.isPlaying = false;
        this.speed = 1;
        this.loops = true;
        for (const video of [a, b]) {
            const on = (name, action) => video.addEventListener(name, action, { signal: this.#stop.signal });
            on("ended", () => this.#atEnd());
            on("waiting", () => this.isPlaying && !video.seeking && !video.ended && this.#restart());
            // By the browser, when it puts the page to sleep or takes the video out of it.
            on("pause", () => this.isPlaying && !this.#seeking && !video.ended && this.pause());
        }
    }

    /** Starts at the frame that is shown, or anew after the last one. */
    async play() {
        if (this.isPlaying || this.frames < 2) return;
        this.isPlaying = true;
        this.onChange();
        await this.#start(this.frame >= this.frames - 1 ? 0 : this.frame);
    }

    /** Stops both on the same frame, the one that the first shows. */
    async pause() {
        if (!this.isPlaying) return;
        this.#halt();
        this.isPlaying = false;
        this.onChange();
        await this.seek(this.frame);
    }

    /** Pauses if it plays, plays if it does not. */
    toggle() {
        return this.isPlaying ? this.pause() : this.play();
    }

    /**
     * Shows a frame on both; it goes on from there if it was playing. Of calls that come while one is under way only
     * the last counts.
     * @param {number} index
     */
    async seek(index) {
        this.#wanted = Math.min(this.frames - 1, Math.max(0, Math.round(index)));
        this.frame = this.#wanted;
        this.onChange();
        if (this.isPlaying) {
            await this.#start(this.#wanted);
        } else {
            await this.#seekBoth();
        }
    }

    /** Pauses and moves by a number of frames. */
    async step(by) {
        if (this.isPlaying) await this.pause();
        await this.seek(this.frame + by);
    }

    /** @param {number} speed Factor. */
    setSpeed(speed) {
        this.speed = speed;
        this.a.playbackRate = this.b.playbackRate = speed;
    }

    /** Ends everything; the videos stay the caller's. */
    destroy() {
        this.isPlaying = false;
        this.#halt();
        this.#stop.abort();
    }

    /** Seconds of the middle of a frame, which no rounding moves to another. */
    timeOf(index) {
        return (index + 0.5) / this.fps;
    }

    async #start(index) {
        const start = ++this.#starts;
        this.#pauseBoth();
        this.frame = this.#wanted = index;
        await this.#seekBoth();
        if (start !== this.#starts || !this.isPlaying) return;
        this.a.playbackRate = this.b.playbackRate = this.speed;
        try {
            await Promise.all([this.a.play(), this.b.play()]);
        } catch (error) {
            // Stopped again before it began, or the browser wants a click first: either way it does not play.
            if (error.name !== "AbortError" && error.name !== "NotAllowedError") throw error;
            if (start === this.#starts && this.isPlaying) await this.pause();
            return;
        }
        if (start === this.#starts && this.isPlaying) this.#watch();
    }

    #restart() {
        if (!this.#seeking) this.#start(this.frame);
    }

    #halt() {
        this.#starts++;
        this.#pauseBoth();
    }

    #pauseBoth() {
        this.#unwatch();
        this.a.pause();
        this.b.pause();
    }

    async #seekBoth() {
        this.#seeking ??= (async () => {
            while (this.#wanted !== null) {
                const index = this.#wanted;
                this.#wanted = null;
                await Promise.all([this.a, this.b].map((video) => seekTo(video, this.timeOf(index), this.#stop.signal)));
            }
        })().finally(() => { this.#seeking = null; });
        await this.#seeking;
    }

    async #atEnd() {
        if (!this.isPlaying || this.#seeking) return;
        if (this.loops) {
            await this.#start(0);
            return;
        }
        this.frame = this.frames - 1;
        await this.pause();
    }

    /** Follows the frames as they are shown, and with them the distance. */
    #watch() {
        this.#unwatch();
        this.#presented = [null, null];
        this.#late = 0;
        [this.a, this.b].forEach((video, which) => {
            const onFrame = (_now, data) => {
                this.#callbacks[which] = ask();
                if (data) this.#learn(which, data);
                if (which) return;
                this.#show(Math.round((data?.mediaTime ?? video.currentTime - 0.5 / this.fps) * this.fps));
                this.#correct();
            };
            const ask = () => video.requestVideoFrameCallback?.(onFrame) ?? requestAnimationFrame((now) => onFrame(now));
            this.#callbacks[which] = ask();
        });
    }

    #unwatch() {
        [this.a, this.b].forEach((video, which) => {
            if (video.cancelVideoFrameCallback) video.cancelVideoFrameCallback(this.#callbacks[which]);
            else cancelAnimationFrame(this.#callbacks[which]);
        });
    }

    /** The clocks may agree and the pictures not: what counts is when a frame comes to the screen. */
    #learn(which, { mediaTime, expectedDisplayTime }) {
        this.#presented[which] = mediaTime - (this.speed * expectedDisplayTime) / 1000;
        const [a, b] = this.#presented;
        if (!which || a === null) return;
        const clocks = this.b.currentTime - this.a.currentTime;
        this.#late += LEARNING * (b - a - clocks - this.#late);
        this.#late = Math.min(1.5 / this.fps, Math.max(-1.5 / this.fps, this.#late));
    }

    #show(index) {
        const frame = Math.min(this.frames - 1, Math.max(0, index));
        if (frame === this.frame) return;
        this.frame = frame;
        this.onChange();
    }

    #correct() {
        const now = performance.now();
        if (now - this.#corrected < EVERY) return;
        this.#corrected = now;
        const late = Math.abs(this.#late) * this.fps > BELIEVED ? this.#late : 0;
        const distance = this.b.currentTime - this.a.currentTime + late;
        if (Math.abs(distance) * this.fps > LOST * Math.max(1, this.speed)) {
            this.#restart();
            return;
        }
        const change = Math.abs(distance) * this.fps < SETTLED ? 0 : -GAIN * distance / this.speed;
        const rate = this.speed * (1 + Math.min(MOST, Math.max(-MOST, change)));
        if (Math.abs(this.b.playbackRate - rate) > 1e-3) this.b.playbackRate = rate;
    }
}

/** Moves a video to a time; resolves when the frame of that time is there, or cannot come any more. */
function seekTo(video, time, signal) {
    if (signal.aborted || (video.currentTime === time && !video.seeking && video.readyState >= 2)) return Promise.resolve();
    return new Promise((done) => {
        const finished = new AbortController();
        const finish = () => { finished.abort(); done(); };
        for (const name of ["seeked", "error", "emptied"]) {
            video.addEventListener(name, finish, { signal: finished.signal });
        }
        signal.addEventListener("abort", finish, { signal: finished.signal });
        video.currentTime = time;
    });
}
